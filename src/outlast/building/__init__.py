"""`outlast build`: one file, one directory, an image, a unit or manifests of a program."""
