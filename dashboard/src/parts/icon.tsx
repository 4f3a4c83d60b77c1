// Our own icons: strokes on a grid of 16, coloured by the text around them.

const PATHS = {
  home: 'M2.5 7.5 8 3l5.5 4.5V13a.5.5 0 0 1-.5.5h-3V10H6v3.5H3a.5.5 0 0 1-.5-.5z',
  runs: 'M2.5 4h7M4.5 8h9M2.5 12h6',
  inbox: 'M2.5 9.5 4.5 3h7l2 6.5V13h-11zM2.5 9.5H6l.8 1.5h2.4l.8-1.5h3.5',
  actors: 'M8 2.5v3M8 5.5h-4.5v3M8 5.5h4.5v3M2 8.5h3v4H2zM11 8.5h3v4h-3zM6.5 1.5h3v2h-3z',
  logs: 'M2.5 3.5h11M2.5 6.5h7M2.5 9.5h11M2.5 12.5h5',
  workflows: 'M2.5 2.5h4v4h-4zM9.5 9.5h4v4h-4zM6.5 4.5H12v5',
  audit: 'M8 2.5 13 4.5v3.5c0 3-2 4.8-5 5.5-3-.7-5-2.5-5-5.5V4.5zM5.8 8l1.7 1.7L10.4 6.6',
  chart: 'M2.5 13.5h11M4 11V8M7 11V4M10 11V6.5M13 11V3',
  completed: 'M3.5 8.5 6.5 11.5 12.5 4.5',
  failed: 'M4.5 4.5l7 7M11.5 4.5l-7 7',
  running: 'M5.5 3.5v9l7-4.5z',
  waiting: 'M4.5 2.5h7M4.5 13.5h7M5 2.5c0 3 6 8 6 11M11 2.5c0 3-6 8-6 11',
  pending: 'M8 3.2a4.8 4.8 0 1 0 0 9.6a4.8 4.8 0 0 0 0-9.6z',
  paused: 'M5.5 3.5v9M10.5 3.5v9',
  parked: 'M8 2.5 14 13H2zM8 6.5v3M8 11.2v.3',
  cancelled: 'M8 2.8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 0 0 8 2.8zM4.4 4.4l7.2 7.2',
  terminated: 'M5.5 2.5h5l3 3v5l-3 3h-5l-3-3v-5zM5.5 8h5',
  timed_out: 'M8 3.5a5 5 0 1 0 0 10a5 5 0 0 0 0-10zM8 6v2.7l1.8 1.3M6.5 1.5h3',
  step: 'M8 5.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 0 0 0-5.6z',
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9zM10.4 10.4 14 14',
  plus: 'M8 3v10M3 8h10',
  close: 'M4 4l8 8M12 4l-8 8',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  check: 'M3.5 8.5 6.5 11.5 12.5 4.5',
  raw: 'M6 4 2.5 8 6 12M10 4l3.5 4L10 12',
  download: 'M8 2.5v8M4.5 7 8 10.5 11.5 7M3 13.5h10',
  right: 'M6 3.5 10.5 8 6 12.5',
  down: 'M3.5 6 8 10.5 12.5 6',
  up: 'M3.5 10 8 5.5 12.5 10',
  left: 'M10 3.5 5.5 8l4.5 4.5',
  fork: 'M4.5 2.5v11M4.5 8c0-2.5 7-1 7-5.5M9.3 4.5l2.2-2.2 2.2 2.2',
  retry: 'M3 8a5 5 0 1 1 1.5 3.6M3 13v-3h3',
  signal: 'M8 8v5.5M5.5 10.5a3.5 3.5 0 1 1 5 0M3.7 12.3a6 6 0 1 1 8.6 0',
  diff: 'M5 2.5v11M2.5 5h5M11 2.5v11M8.5 11h5',
  theme: 'M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11z',
  out: 'M6.5 2.5h-4v11h4M6 8h8M11 5l3 3-3 3',
  help: 'M5.5 6a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.8-1.1 1.6M8 12.5v.3',
  star: 'M8 2.2l1.8 3.8 4.1.5-3 2.9.8 4.1L8 11.5l-3.7 2 .8-4.1-3-2.9 4.1-.5z',
  send: 'M2.5 8 13.5 3 10 13.5 7.5 9z',
  offline: 'M2.5 6.5a8 8 0 0 1 3-1.8M13.5 6.5a8 8 0 0 0-4-2M5 9.5a4.5 4.5 0 0 1 2.5-1.2M8 12.5v.2M2.5 2.5l11 11',
  zoom: 'M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9zM10.4 10.4 14 14M5 7h4M7 5v4',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name, label }: { name: IconName; label?: string }) {
  const naming = label ? { role: 'img' as const, 'aria-label': label } : { 'aria-hidden': true }
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" {...naming}>
      <path d={PATHS[name]} />
    </svg>
  )
}
