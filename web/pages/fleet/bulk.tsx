import { useSignal } from '@preact/signals';
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

/**
 * Number of devices in a request. The platform accepts more, but Node may reject the next request on a connection (HPE_PAUSED) if it arrives
 * right after a response of more than 16 KiB.
 */
const mostPerRequest = 50;
/** Number of devices listed in the result, those that refused the change first. */
const mostListed = 200;

/** Actions for the chosen devices. @param selector a selector that matches exactly these devices, if it is short enough */
export function Bulk({
  devices,
  selector,
  onClear,
}: {
  devices: readonly DeviceInfo[];
  selector: string;
  onClear: () => void;
}) {
  const isOpen = useSignal(false);
  const isLong = selector.length > longestSelector;
  return (
    <section class="bulk" aria-label="Selected devices">
      <p role="status">{plural(devices.length, 'device')} selected</p>
      <button
        type="button"
        onClick={() => {
          isOpen.value = true;
        }}
      >
        Tags and groups
      </button>
      {!isLong && <a href={linkTo(['rollouts', 'new'], { selector })}>New rollout</a>}
      <button type="button" class="quiet" onClick={onClear}>
        Clear selection
      </button>
      {isLong && (
        <p class="soft">
          To start a rollout with a selection of this size, add the devices to a group first.
        </p>
      )}
      {isOpen.value && (
        <ChangeMany
          // The devices are those at the time of opening, even if others are chosen by events meanwhile.
          names={devices.map(({ name }) => name)}
          selector={isLong ? null : selector}
          onClose={() => {
            isOpen.value = false;
          }}
        />
      )}
    </section>
  );
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

type Step = { is: 'form' } | { is: 'planned' | 'done'; devices: readonly ChangedDevice[] };

/** Changes tags or groups of devices: first the form, then what would change, then the result of each device. */
function ChangeMany({
  names: given,
  selector,
  onClose,
}: {
  names: readonly string[];
  selector: string | null;
  onClose: () => void;
}) {
  const names = useSignal(given).value;
  const kind = useSignal<Kind>('set');
  const name = useSignal('');
  const value = useSignal('');
  const step = useSignal<Step>({ is: 'form' });
  const progress = useSignal<number | null>(null);
  const error = useSignal<ApiError | undefined>(undefined);
  const { change, word, shown } = changeOf(kind.value, name.value.trim(), value.value.trim());

  const run = async (dryRun: boolean) => {
    const devices: ChangedDevice[] = [];
    error.value = undefined;
    progress.value = 0;
    try {
      for (let i = 0; i < names.length; i += mostPerRequest) {
        const some = names.slice(i, i + mostPerRequest);
        const answer = await send(at('POST /devices/actions', {}), { change, names: some, dryRun });
        devices.push(...answer.devices);
        progress.value = devices.length;
      }
      step.value = { is: dryRun ? 'planned' : 'done', devices };
    } catch (reason) {
      error.value = reason as ApiError;
      // The devices of earlier requests have been changed.
      if (!dryRun && devices.length > 0) step.value = { is: 'done', devices };
    }
    progress.value = null;
  };
  const submit = (event: Event) => {
    event.preventDefault();
    void run(step.value.is === 'form');
  };
  const edit = (set: () => void) => {
    set();
    step.value = { is: 'form' };
  };
  const { value: now } = step;
  const changing =
    now.is === 'planned' ? now.devices.filter(({ outcome }) => outcome === 'changed').length : 0;
  const isTag = kind.value === 'set' || kind.value === 'unset';
  const line = `aiot device ${isTag ? 'tag' : 'group'} --selector ${shellWord(selector ?? '')} ${shellWord(word)}`;
  return (
    <Dialog
      title={`Tags and groups of ${plural(names.length, 'device')}`}
      look="wide-dialog"
      onClose={onClose}
    >
      <form onSubmit={submit}>
        {now.is !== 'done' && (
          <div class="form">
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
          </div>
        )}
        {now.is !== 'form' && <Outcomes step={now} shown={shown} />}
        {error.value && <Failure error={error.value} />}
        {selector !== null && name.value !== '' && <Command line={line} />}
        <p class="soft" role="status">
          {progress.value !== null &&
            `${progress.value.toLocaleString('en')} of ${plural(names.length, 'device')} …`}
        </p>
        <div class="choices">
          <button type="button" onClick={onClose}>
            {now.is === 'done' ? 'Close' : 'Cancel'}
          </button>
          {now.is === 'form' && (
            <button type="submit" class="primary" disabled={progress.value !== null}>
              Preview
            </button>
          )}
          {now.is === 'planned' && (
            <button type="submit" class="primary" disabled={progress.value !== null || changing === 0}>
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
function Outcomes({
  step,
  shown,
}: {
  step: Exclude<Step, { is: 'form' }>;
  shown: (state: ChangedDevice['before']) => string;
}) {
  const { devices } = step;
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
