import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { ChangedDevice, DeviceChange, DeviceInfo } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { linkTo } from '../../app/route.js';
import { longestSelector, plural, shellWord } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Dialog } from '../../parts/dialog.js';
import { Field } from '../../parts/field.js';
import { Failure } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { fewestCompared, mostCompared } from './compare.js';

/**
 * Number of devices in a request. The platform accepts more, but Node may reject the next request on a connection (HPE_PAUSED) if it arrives
 * right after a response of more than 16 KiB.
 */
const mostPerRequest = 50;
/** Number of devices listed in the result, those that refused the change first. */
const mostListed = 200;

/** Devices that are to change. */
export interface Many {
  what: 'labels' | 'log level';
  names: readonly string[];
  /** A selector that matches exactly these devices; null = it would be too long. */
  selector: string | null;
}

/** Actions for the chosen devices. @param selector a selector that matches exactly these devices, if it is short enough */
export function Bulk({
  devices,
  selector,
  onChange,
  onClear,
}: {
  devices: readonly DeviceInfo[];
  selector: string;
  /** Called with the devices as chosen at that time. */
  onChange: (many: Many) => void;
  onClear: () => void;
}) {
  const isLong = selector.length > longestSelector;
  const change = (what: Many['what']) =>
    onChange({ what, names: devices.map(({ name }) => name), selector: isLong ? null : selector });
  const compared = devices.map(({ name }) => name).join();
  return (
    <section class="bulk" aria-label="Selected devices">
      <p role="status">{plural(devices.length, 'device')} selected</p>
      <button type="button" onClick={() => change('labels')}>
        Tags and groups
      </button>
      <button type="button" onClick={() => change('log level')}>
        Log level
      </button>
      {!isLong && <a href={linkTo(['rollouts', 'new'], { selector })}>New rollout</a>}
      {!isLong && (
        <a href={linkTo(['rollouts', 'settings'], { selector, type: oneType(devices) })}>Roll out settings</a>
      )}
      {devices.length >= fewestCompared && devices.length <= mostCompared && (
        <a href={linkTo(['devices'], { compare: compared })}>Compare</a>
      )}
      <button type="button" class="quiet" onClick={onClear}>
        Clear selection
      </button>
      {isLong && (
        <p class="soft">
          To start a rollout with a selection of this size, add the devices to a group first.
        </p>
      )}
    </section>
  );
}

/** The type of these devices; empty = they have several. */
function oneType(devices: readonly DeviceInfo[]): string {
  const [{ type = '' } = {}] = devices;
  return devices.every((device) => device.type === type) ? type : '';
}

const kinds = {
  set: 'Set a tag',
  unset: 'Remove a tag',
  join: 'Add to a group',
  leave: 'Remove from a group',
} as const;
type Kind = keyof typeof kinds;

/** The change that the form describes, its argument on the command line, and a device's value before or after it. */
function changeOf(kind: Kind, name: string, value: string) {
  const change: DeviceChange =
    kind === 'set' || kind === 'unset'
      ? {
          action: 'tag',
          set: kind === 'set' ? { [name]: value } : {},
          remove: kind === 'unset' ? [name] : [],
        }
      : { action: 'group', add: kind === 'join' ? [name] : [], remove: kind === 'leave' ? [name] : [] };
  const word = { set: `${name}=${value}`, unset: `${name}-`, join: name, leave: `${name}-` }[kind];
  const shown = (state: ChangedDevice['before']) => {
    if (state === null) return '';
    if (change.action === 'tag') return state.tags[name] ?? '–';
    return state.groups.includes(name) ? 'in the group' : 'not in the group';
  };
  return { change, word, shown };
}

type Asked = ReturnType<typeof changeOf>;

/** A change with the expected or the real results of devices. */
interface Answered {
  is: 'planned' | 'done';
  asked: Asked;
  devices: readonly ChangedDevice[];
  /** Whether the reader stopped the change before all devices had a result. */
  isStopped: boolean;
}

type Step = { is: 'form' } | Answered;

/** Changes tags or groups of devices: first the form, then what would change, then the result of each device. */
export function ChangeMany({ many: { names, selector }, onClose }: { many: Many; onClose: () => void }) {
  const kind = useSignal<Kind>('set');
  const name = useSignal('');
  const value = useSignal('');
  const step = useSignal<Step>({ is: 'form' });
  const running = useSignal<{ dryRun: boolean; finished: number } | null>(null);
  const isStopping = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  const form = useRef<HTMLFormElement>(null);
  const isBusy = running.value !== null;
  // Once the dialog is gone, its reader would not see further changes.
  useEffect(
    () => () => {
      isStopping.value = true;
    },
    [],
  );
  // A disabled element loses the focus. The next Enter, which may be a repeated one, must not start the change.
  useLayoutEffect(() => {
    if (isBusy || form.current?.contains(document.activeElement)) return;
    form.current?.querySelector<HTMLElement>('.choices button')?.focus();
  }, [isBusy]);

  /** Asks for a change of some devices per request, until all have a result, one request fails, or the reader stops. */
  const ask = async ({ change }: Asked, dryRun: boolean) => {
    const devices: ChangedDevice[] = [];
    error.value = undefined;
    isStopping.value = false;
    let failed: ApiError | undefined;
    for (let i = 0; i < names.length && !isStopping.value && !failed; i += mostPerRequest) {
      running.value = { dryRun, finished: i };
      const some = names.slice(i, i + mostPerRequest);
      await send(at('POST /devices/actions', {}), { change, names: some, dryRun }).then(
        (answer) => devices.push(...answer.devices),
        (reason: ApiError) => {
          failed = reason;
        },
      );
    }
    running.value = null;
    return { devices, failed };
  };
  const preview = async () => {
    const before = step.value;
    const asked = changeOf(kind.value, name.value.trim(), value.value.trim());
    const { devices, failed } = await ask(asked, true);
    // The form has changed meanwhile, so this is not a preview of it.
    if (step.value !== before) return;
    error.value = failed;
    if (!failed) step.value = { is: 'planned', asked, devices, isStopped: false };
  };
  const apply = async ({ asked }: Answered) => {
    const { devices, failed } = await ask(asked, false);
    error.value = failed;
    // The devices of earlier requests have been changed.
    if (devices.length > 0) {
      step.value = { is: 'done', asked, devices, isStopped: !failed && devices.length < names.length };
    }
  };
  const submit = (event: Event) => {
    event.preventDefault();
    const { value: now } = step;
    if (running.value !== null) return;
    if (now.is === 'form') void preview();
    else if (now.is === 'planned') void apply(now);
  };
  /** A preview can be closed at any time. A change is stopped first, and the dialog shows the result so far. */
  const mayClose = () => {
    if (!running.value || running.value.dryRun) return true;
    isStopping.value = true;
    return false;
  };
  const edit = (set: () => void) => {
    set();
    step.value = { is: 'form' };
  };
  const { value: now } = step;
  const changing =
    now.is === 'planned' ? now.devices.filter(({ outcome }) => outcome === 'changed').length : 0;
  const left = now.is === 'done' ? names.length - now.devices.length : 0;
  const isTag = kind.value === 'set' || kind.value === 'unset';
  const { word } = changeOf(kind.value, name.value.trim(), value.value.trim());
  const line = `aiot device ${isTag ? 'tag' : 'group'} --selector ${shellWord(selector ?? '')} ${shellWord(word)}`;
  return (
    <Dialog
      title={`Tags and groups of ${plural(names.length, 'device')}`}
      look="wide-dialog"
      mayClose={mayClose}
      onClose={onClose}
    >
      <form ref={form} onSubmit={submit}>
        {now.is !== 'done' && (
          <fieldset class="form" disabled={isBusy}>
            <div class="field">
              <label for="bulk-kind">Change</label>
              <select
                id="bulk-kind"
                value={kind.value}
                onChange={({ currentTarget }) =>
                  edit(() => {
                    kind.value = currentTarget.value as Kind;
                  })
                }
              >
                {Object.entries(kinds).map(([id, title]) => (
                  <option key={id} value={id}>
                    {title}
                  </option>
                ))}
              </select>
            </div>
            <Field
              id="bulk-name"
              name={isTag ? 'Tag' : 'Group'}
              property={{ type: 'string', maxLength: 63 }}
              required
              value={name.value}
              onChange={(text) =>
                edit(() => {
                  name.value = text;
                })
              }
            />
            {kind.value === 'set' && (
              <Field
                id="bulk-value"
                name="Value"
                property={{ type: 'string', maxLength: 128 }}
                required
                value={value.value}
                onChange={(text) =>
                  edit(() => {
                    value.value = text;
                  })
                }
              />
            )}
          </fieldset>
        )}
        {now.is !== 'form' && <Outcomes step={now} />}
        {now.is === 'done' && left > 0 && (
          <p role="status">
            {now.isStopped
              ? `Stopped. The other ${plural(left, 'device')} have not been changed.`
              : `No result for the other ${plural(left, 'device')}. Preview the change again to see their state.`}
          </p>
        )}
        {error.value && <Failure error={error.value} />}
        {selector !== null && name.value !== '' && <Command line={line} />}
        <p class="soft" role="status">
          {running.value &&
            `${isStopping.value ? 'Stopping: ' : ''}${running.value.finished.toLocaleString('en')} of ${plural(names.length, 'device')} …`}
        </p>
        <div class="choices">
          <button type="button" disabled={isBusy && isStopping.value} onClick={() => mayClose() && onClose()}>
            {now.is === 'done' ? 'Close' : running.value?.dryRun === false ? 'Stop' : 'Cancel'}
          </button>
          {now.is === 'form' && (
            <button type="submit" class="primary" disabled={isBusy}>
              Preview
            </button>
          )}
          {now.is === 'planned' && (
            <button type="submit" class="primary" disabled={isBusy || changing === 0}>
              Change {plural(changing, 'device')}
            </button>
          )}
        </div>
      </form>
    </Dialog>
  );
}

const tones = { changed: 'good', same: 'soft', refused: 'bad' } as const;

/** The number of devices by outcome, and the devices with their values before and after. */
function Outcomes({ step }: { step: Answered }) {
  const { devices } = step;
  const { shown } = step.asked;
  const isDone = step.is === 'done';
  const words = { changed: isDone ? 'changed' : 'will change', same: 'unchanged', refused: 'refused' };
  const outcomes = ['refused', 'changed', 'same'] as const;
  const sorted = outcomes.flatMap((each) => devices.filter(({ outcome }) => outcome === each));
  const counts = (['changed', 'same', 'refused'] as const)
    .map((each) => [each, devices.filter(({ outcome }) => outcome === each).length] as const)
    .filter(([each, count]) => count > 0 || each === 'changed');
  const columns: Column<ChangedDevice>[] = [
    { title: 'device', cell: ({ name }) => name, sort: ({ name }) => name },
    {
      title: 'result',
      cell: ({ outcome, error }) => (
        <>
          <Badge tone={tones[outcome]}>{words[outcome]}</Badge>
          {error && <div class="soft">{error.message}</div>}
        </>
      ),
      sort: ({ outcome }) => words[outcome],
    },
    { title: 'before', cell: ({ before }) => shown(before), sort: ({ before }) => shown(before), wide: true },
    { title: 'after', cell: ({ after }) => shown(after), sort: ({ after }) => shown(after) },
  ];
  return (
    <>
      <p role="status">
        {counts.map(([each, count]) => `${count.toLocaleString('en')} ${words[each]}`).join(', ')}
      </p>
      <div class="outcomes">
        <Scroll label="Result of each device">
          <ShortTable
            rows={sorted.slice(0, mostListed)}
            columns={columns}
            keyOf={({ name }) => name}
            label="Result of each device"
            name="outcome"
          />
        </Scroll>
      </div>
      {sorted.length > mostListed && (
        <p class="soft">
          The first {mostListed} of {plural(sorted.length, 'device')}, those that refused the change first.
        </p>
      )}
    </>
  );
}
