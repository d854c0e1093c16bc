import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import type { AttentionRequest, Attention as Unwell } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { linkTo } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Confirm, Duration, durations, NoteField, ownNote } from '../../parts/dialog.js';
import { Failure } from '../../parts/page.js';
import { When } from '../../parts/when.js';

type Device = Unwell['devices'][number];

const decide = (name: string, request: AttentionRequest) =>
  send(at('POST /devices/:name/attention', { name }), request);

/** One device: its state, and for each cause what is wrong, since when, and what to do. */
export function UnwellDevice({ device, onChange }: { device: Device; onChange: () => void }) {
  const { name, state, causes, acknowledged, snoozed } = device;
  const asked = useSignal<'acknowledge' | 'snooze' | null>(null);
  const failed = useSignal<ApiError | undefined>(undefined);
  const reopen = () =>
    decide(name, { action: 'reopen' }).then(onChange, (reason: ApiError) => {
      failed.value = reason;
    });
  return (
    <li>
      <Badge tone={isQuiet(device) ? 'soft' : state === 'degraded' ? 'warn' : 'bad'}>{state}</Badge>{' '}
      <a href={linkTo(['devices', name])}>{name}</a>
      {causes.map(({ code, message, since, next }) => (
        <div key={code}>
          {message}, <When at={since} as="ago" />. <span class="soft">{withCode(next)}</span>
        </div>
      ))}
      {acknowledged && <Decision word="acknowledged" decision={acknowledged} />}
      {snoozed && (
        <Decision word="snoozed" decision={snoozed}>
          {' '}
          until <When at={snoozed.until} />
        </Decision>
      )}
      {mayChange() && (
        <div class="decisions">
          {isQuiet(device) ? (
            <button
              type="button"
              class="quiet"
              aria-label={`List again: ${name}`}
              onClick={() => void reopen()}
            >
              List again
            </button>
          ) : (
            <>
              <button
                type="button"
                class="quiet"
                aria-label={`Acknowledge ${name}`}
                onClick={() => (asked.value = 'acknowledge')}
              >
                Acknowledge
              </button>
              <button
                type="button"
                class="quiet"
                aria-label={`Snooze ${name}`}
                onClick={() => (asked.value = 'snooze')}
              >
                Snooze
              </button>
            </>
          )}
        </div>
      )}
      {failed.value && <Failure error={failed.value} />}
      {asked.value && (
        <Deciding
          name={name}
          action={asked.value}
          onChange={onChange}
          onClose={() => {
            asked.value = null;
          }}
        />
      )}
    </li>
  );
}

function Decision(of: {
  word: string;
  decision: { who: string; at: number; note: string | null };
  children?: ComponentChildren;
}) {
  const { who, at: when, note } = of.decision;
  return (
    <div class="soft">
      {of.word}
      {of.children} by {who}, <When at={when} as="ago" />
      {note !== null && `: ${note}`}
    </div>
  );
}

/** The dialog in which a user acknowledges or snoozes a device, with a note. */
function Deciding(of: {
  name: string;
  action: 'acknowledge' | 'snooze';
  onChange: () => void;
  onClose: () => void;
}) {
  const { name, action, onChange, onClose } = of;
  const note = useSignal('');
  const hours = useSignal(durations[0] ?? 1);
  const word = action === 'acknowledge' ? 'Acknowledge' : 'Snooze';
  const run = () =>
    decide(
      name,
      action === 'acknowledge'
        ? { action, ...ownNote(note) }
        : { action, forMs: hours.value * 3600_000, ...ownNote(note) },
    ).then(onChange);
  return (
    <Confirm title={`${word} ${name}`} action={word} run={run} onClose={onClose}>
      {action === 'acknowledge' ? (
        <p>
          The device is hidden until it has a new problem, or until a problem returns after it has recovered.
        </p>
      ) : (
        <>
          <p>The device is hidden until this time has elapsed, even if it develops other problems.</p>
          <Duration hours={hours} />
        </>
      )}
      <NoteField value={note} />
    </Confirm>
  );
}

export const isQuiet = ({ acknowledged, snoozed }: Device) => acknowledged !== null || snoozed !== null;

/** The number of acknowledged and snoozed devices, and on request the devices. */
export function QuietDevices(of: { count: number; devices: readonly Device[]; onChange: () => void }) {
  const { count, devices, onChange } = of;
  const isOpen = useSignal(false);
  return (
    <>
      <li>
        <span class="soft">
          {plural(count, 'unwell device')} {count === 1 ? 'is' : 'are'} acknowledged or snoozed.
        </span>{' '}
        <button
          type="button"
          class="quiet"
          aria-expanded={isOpen.value}
          onClick={() => {
            isOpen.value = !isOpen.value;
          }}
        >
          {isOpen.value ? 'Hide' : 'Show'}
        </button>
      </li>
      {isOpen.value &&
        devices.map((device) => <UnwellDevice key={device.name} device={device} onChange={onChange} />)}
    </>
  );
}

/** A sentence in which commands in backticks are shown as code. */
export function withCode(text: string): ComponentChildren[] {
  return text.split('`').map((part, i) => (i % 2 === 1 ? <code key={part}>{part}</code> : part));
}
