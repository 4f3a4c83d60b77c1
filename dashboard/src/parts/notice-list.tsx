import { dismiss, notices } from '../notices.ts'
import { Icon } from './icon.tsx'

export function NoticeList() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map((notice) => (
        <div key={notice.id} class={`notice ${notice.tone}`}>
          <Icon name={notice.tone === 'done' ? 'check' : 'parked'} />
          <div>
            <strong>{notice.text}</strong>
            {notice.detail && <p>{notice.detail}</p>}
          </div>
          <button type="button" class="quiet" onClick={() => dismiss(notice.id)} aria-label="Dismiss">
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  )
}
