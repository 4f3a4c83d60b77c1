import { chooseRange, range, RANGES } from '../range.ts'

export function RangeSwitch() {
  return (
    <div class="switch" role="group" aria-label="Time range">
      {RANGES.map((each) => (
        <button key={each.value} type="button" aria-pressed={each === range.value} title={`Count the ${each.text}`} onClick={() => chooseRange(each)}>
          {each.label}
        </button>
      ))}
    </div>
  )
}
