import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { ApiError } from '../../app/api.js';
import { plural, shellWord } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Dialog } from '../../parts/dialog.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { LevelFields, levelWords, setLevel, usualLevel } from '../device/log-level.js';
import type { Many } from './bulk.js';
import { outcomeOf } from './outcome.js';

/** Number of devices that are called at once. Browsers open at most 6 connections to a server. */
const atOnce = 4;
/** Number of devices listed in the result, those that failed first. */
const mostListed = 200;

interface Called {
  name: string;
  /** Null = the device has the level. */
  error: ApiError | null;
}

/** Sets the log level of the chosen devices, one call per device, and shows the result of each. */
export function LogLevels({ many: { names, selector }, onClose }: { many: Many; onClose: () => void }) {
  const value = useSignal(usualLevel);
  /** The results so far; null = nothing has started. */
  const called = useSignal<readonly Called[] | null>(null);
  const isRunning = useSignal(false);
  const isStopping = useSignal(false);
  const close = useRef<HTMLButtonElement>(null);
  // Once the dialog is gone, its reader would not see further changes.
  useEffect(
    () => () => {
      isStopping.value = true;
    },
    [],
  );
  // The button that had the focus is gone.
  const isDone = called.value !== null && !isRunning.value;
  useLayoutEffect(() => {
    if (isDone) close.current?.focus();
  }, [isDone]);

  const run = async () => {
    const waiting = [...names];
    const asked = value.value;
    called.value = [];
    isRunning.value = true;
    const work = async () => {
      for (let name = waiting.shift(); name !== undefined && !isStopping.value; name = waiting.shift()) {
        const device = name;
        const error = await setLevel(device, asked).then(
          () => null,
          (reason: ApiError) => reason,
        );
        called.value = [...(called.value ?? []), { name: device, error }];
        // All other calls would fail in the same way.
        if (error && [0, 401, 403].includes(error.status)) isStopping.value = true;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    isRunning.value = false;
  };
  const submit = (event: Event) => {
    event.preventDefault();
    if (called.value === null) void run();
  };
  const mayClose = () => {
    if (!isRunning.value) return true;
    isStopping.value = true;
    return false;
  };
  const results = called.value;
  const left = names.length - (results?.length ?? 0);
  return (
    <Dialog
      title={`Log level of ${plural(names.length, 'device')}`}
      look="wide-dialog"
      mayClose={mayClose}
      onClose={onClose}
    >
      <form onSubmit={submit}>
        {results === null && (
          <>
            <p>
              The devices leave out lines below this level. After a restart, their level is info again.
              Offline devices keep their level.
            </p>
            <div class="form">
              <LevelFields
                value={value.value}
                onChange={(next) => {
                  value.value = next;
                }}
              />
            </div>
          </>
        )}
        {isDone && results && <Results of={results} />}
        {isDone && left > 0 && (
          <p role="status">Stopped. The other {plural(left, 'device')} keep their level.</p>
        )}
        {selector !== null && (
          <Command
            line={`aiot device log-level ${levelWords(value.value)} --selector ${shellWord(selector)}`}
          />
        )}
        <p class="soft" role="status">
          {isRunning.value &&
            `${isStopping.value ? 'Stopping: ' : ''}${results?.length.toLocaleString('en')} of ${plural(names.length, 'device')} …`}
        </p>
        <div class="choices">
          <button
            ref={close}
            type="button"
            disabled={isRunning.value && isStopping.value}
            onClick={() => mayClose() && onClose()}
          >
            {isDone ? 'Close' : isRunning.value ? 'Stop' : 'Cancel'}
          </button>
          {results === null && (
            <button type="submit" class="primary">
              Set the level of {plural(names.length, 'device')}
            </button>
          )}
        </div>
      </form>
    </Dialog>
  );
}

const tones = { set: 'good', unchanged: 'bad', unknown: 'warn' } as const;

const columns: Column<Called>[] = [
  { title: 'device', cell: ({ name }) => name, sort: ({ name }) => name },
  {
    title: 'result',
    cell: ({ error }) => (
      <>
        <Badge tone={tones[outcomeOf(error)]}>{outcomeOf(error)}</Badge>
        {error && (
          <div class="soft">
            {error.message} {error.code}
          </div>
        )}
      </>
    ),
    sort: ({ error }) => error?.code ?? '',
  },
];

function Results({ of }: { of: readonly Called[] }) {
  const byName = [...of].sort((a, b) => (a.name < b.name ? -1 : 1));
  const failed = byName.filter(({ error }) => error !== null);
  const rows = [...failed, ...byName.filter(({ error }) => error === null)];
  const counts = (['set', 'unchanged', 'unknown'] as const).flatMap((outcome) => {
    const count = of.filter(({ error }) => outcomeOf(error) === outcome).length;
    return count > 0 || outcome === 'set' ? [`${count.toLocaleString('en')} ${outcome}`] : [];
  });
  return (
    <>
      <p role="status">{counts.join(', ')}</p>
      <div class="outcomes">
        <Scroll label="Result of each device">
          <ShortTable
            rows={rows.slice(0, mostListed)}
            columns={columns}
            keyOf={({ name }) => name}
            label="Result of each device"
            name="outcome"
          />
        </Scroll>
      </div>
      {rows.length > mostListed && (
        <p class="soft">
          The first {mostListed} of {plural(rows.length, 'device')}, those without the new level first.
        </p>
      )}
    </>
  );
}
