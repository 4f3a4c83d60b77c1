// Where the items of a list lie, one below the other.

/** The tops of items of these heights, and the end of the last one. */
export function placesOf(heights: number[]): number[] {
  const places = [0]
  let sum = 0
  for (const height of heights) {
    sum += height
    places.push(sum)
  }
  return places
}

/** The item that lies at a height: the first one above all, the last one below. */
export function firstIn(places: number[], at: number): number {
  let low = 0
  let high = Math.max(0, places.length - 2)
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((places[middle] ?? 0) <= at) low = middle
    else high = middle - 1
  }
  return low
}
