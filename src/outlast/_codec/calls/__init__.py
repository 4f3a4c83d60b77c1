"""The parameters, arguments and results of functions as bytes."""
