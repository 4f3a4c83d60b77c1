// The id of a run, shortened where it is long: the whole of it is the title.

import { shortId } from '../format.ts'

export function RunId({ id }: { id: string }) {
  return <span class="mono clip faint" title={id}>{shortId(id)}</span>
}
