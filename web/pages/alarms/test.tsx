import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { AlarmTest } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { lasting, moment, plural, shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Dialog } from '../../parts/dialog.js';
import { Failure } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** Maximum ages of the telemetry that the dialog offers: as in commands, and in ms. */
const spans = { '1h': 3_600_000, '24h': 86_400_000, '7d': 7 * 86_400_000, '30d': 30 * 86_400_000 } as const;
type Span = keyof typeof spans;
const spanWords: Record<Span, string> = {
  '1h': '1 hour',
  '24h': '24 hours',
  '7d': '7 days',
  '30d': '30 days',
};

/** A dialog that replays recorded telemetry through an alarm, and shows the incidents it would have raised. */
export function TestAlarm({ name, onClose }: { name: string; onClose: () => void }) {
  const span = useSignal<Span>('7d');
  const found = useSignal<AlarmTest | null>(null);
  const error = useSignal<ApiError | undefined>(undefined);
  const busy = useSignal(false);
  const running = useRef<AbortController | null>(null);
  // The platform ends a test as soon as its client is gone.
  useEffect(() => () => running.current?.abort(), []);
  const test = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    error.value = undefined;
    found.value = null;
    const controller = new AbortController();
    running.current = controller;
    const body = { sinceMs: spans[span.value] };
    await send(at('POST /alarms/:name/test', { name }), body, undefined, controller.signal).then(
      (result) => {
        found.value = result;
      },
      (reason: ApiError) => {
        if (!controller.signal.aborted) error.value = reason;
      },
    );
    busy.value = false;
  };
  const result = found.value;
  return (
    <Dialog title={`Test ${name}`} look="wide-dialog" onClose={onClose}>
      <form onSubmit={test}>
        <p>Replays recorded telemetry through the alarm. Nothing is stored or sent.</p>
        <div class="field">
          <label for="test-since">Telemetry of the last</label>
          <select
            id="test-since"
            value={span.value}
            onChange={({ currentTarget }) => {
              span.value = currentTarget.value as Span;
            }}
          >
            {(Object.keys(spans) as Span[]).map((each) => (
              <option key={each} value={each}>
                {spanWords[each]}
              </option>
            ))}
          </select>
        </div>
        <p>
          <Command line={`aiot alarm test ${shellWord(name)} --since ${span.value}`} />
        </p>
        {error.value && <Failure error={error.value} />}
        <p role="status">
          {busy.value && 'Testing …'}
          {result && headOf(result)}
        </p>
        {result && result.fired.length > 0 && (
          <div class="outcomes">
            <Scroll label="Incidents that the alarm would have raised">
              <ShortTable
                rows={result.fired}
                columns={columns}
                keyOf={({ device, raised }) => `${device} ${raised}`}
                label="Incidents that the alarm would have raised"
                name="fired"
              />
            </Scroll>
          </div>
        )}
        <div class="choices">
          <button type="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" class="primary" disabled={busy.value}>
            Test
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** The result in words, such as `It would have fired 3 times in 1,200 samples since …`. */
function headOf({ total, fired, samples, from, truncated }: AlarmTest): string {
  const times = total === 0 ? 'It would not have fired' : `It would have fired ${plural(total, 'time')}`;
  const newest = total > fired.length ? ` Below are the newest ${fired.length}.` : '';
  const limit = truncated ? ' There is more telemetry than a test reads: choose a shorter time.' : '';
  return `${times} in ${plural(samples, 'sample')} since ${moment(from)}.${newest}${limit}`;
}

const columns: Column<AlarmTest['fired'][number]>[] = [
  { title: 'raised', cell: ({ raised }) => <When at={raised} />, sort: ({ raised }) => raised },
  { title: 'device', cell: ({ device }) => device, sort: ({ device }) => device },
  {
    title: 'lasted',
    cell: ({ raised, cleared }) =>
      cleared === null ? 'until the end' : lasting(Math.max(0, cleared - raised)),
    sort: ({ raised, cleared }) => (cleared === null ? null : cleared - raised),
  },
  {
    title: 'condition',
    cell: ({ message }) => <span class="soft">{message}</span>,
    sort: ({ message }) => message,
  },
];
