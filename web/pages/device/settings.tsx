import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { DeviceSettings, SettingsInfo } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { mayChange } from '../../app/session.js';
import { shellWord } from '../../app/text.js';
import { Badge, type Tone } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Field, parsed } from '../../parts/field.js';
import { Failure, Loading } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { leavesOf, nested } from '../../parts/setting-paths.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { keyOf, memberOf, shown } from './values.js';

/** One setting; undefined = there is no such value. */
interface Setting {
  path: string;
  desired: unknown;
  reported: unknown;
  source: string;
  differs: boolean;
}

const states: Record<DeviceSettings['state'], { tone: Tone; text: string }> = {
  same: { tone: 'good', text: 'The device runs these settings.' },
  pending: { tone: 'blue', text: 'The device has not applied these settings yet.' },
  rejected: { tone: 'bad', text: 'The device rejected these settings and keeps the earlier ones.' },
  unsupported: { tone: 'warn', text: 'The device has never reported settings.' },
  drifted: { tone: 'warn', text: 'The device runs other settings.' },
};

/** Interval at which pending settings are read again, ms, because the end of the time for applying them causes no event. */
const pendingMs = 5000;

/** The settings of a device with their sources, and a form for its own overrides. */
export function Settings({ name }: { name: string }) {
  const events = ['device.*', 'settings.*'];
  const { value, error, reload } = useResource(at('GET /devices/:name/settings', { name }), { events });
  const mayEdit = mayChange();
  const all = useResource(mayEdit ? at('GET /settings', {}) : null, { events: ['settings.*'] });
  const isPending = value?.state === 'pending';
  useEffect(() => {
    if (!isPending) return;
    const timer = setInterval(reload, pendingMs);
    return () => clearInterval(timer);
  }, [isPending]);
  if (error?.code === 'AIOT_SETTINGS_UNKNOWN') {
    return (
      <p class="soft">
        No project defines settings for this type of devices. To add some, define them under settings: in
        aiot.yaml, and run aiot device settings apply.
      </p>
    );
  }
  const failed = error ?? all.error;
  if (failed) return <Failure error={failed} />;
  if (!value || (mayEdit && !all.value)) return <Loading />;
  const definition = all.value?.settings.find(({ type }) => type === value.type);
  return (
    <>
      <State of={value} />
      <Scroll label="Settings">
        <ShortTable
          rows={rowsOf(value)}
          columns={columns}
          keyOf={({ path }) => path}
          label="Settings"
          rowClass={({ differs }) => (differs ? 'differs' : undefined)}
        />
      </Scroll>
      {definition && <Change settings={value} definition={definition} onDone={reload} />}
    </>
  );
}

function State({ of: { state, since, error, problem } }: { of: DeviceSettings }) {
  const { tone, text } = states[state];
  return (
    <>
      <p>
        <Badge tone={tone}>{state}</Badge> {text}{' '}
        {since !== null && state !== 'same' && (
          <>
            Changed <When at={since} as="ago" />.
          </>
        )}
      </p>
      {error && (
        <p class="soft">
          {error.code}: {error.message}
        </p>
      )}
      {problem && <p role="alert">The overrides cannot be combined: {problem}</p>}
    </>
  );
}

const columns: Column<Setting>[] = [
  { title: 'setting', cell: ({ path }) => path, sort: ({ path }) => path },
  { title: 'value', cell: ({ desired }) => shown(desired), sort: ({ desired }) => keyOf(desired) },
  { title: 'source', cell: ({ source }) => source, sort: ({ source }) => source },
  {
    title: 'reported',
    cell: ({ reported, differs }) => (
      <>
        {shown(reported)} {differs && <Badge tone="warn">differs</Badge>}
      </>
    ),
    sort: ({ reported }) => keyOf(reported),
  },
];

function rowsOf({ values, origins, state, differences }: DeviceSettings): Setting[] {
  const differing = new Map(differences.map((each) => [each.path, each]));
  const paths = [...new Set([...Object.keys(origins), ...differing.keys()])].sort();
  const hasReported = differences.length > 0 || ['same', 'drifted', 'rejected'].includes(state);
  return paths.map((path) => {
    const difference = differing.get(path);
    const desired = memberOf(values, path);
    return {
      path,
      desired,
      reported: difference ? difference.reported : hasReported ? desired : undefined,
      source: origins[path] ?? 'none',
      differs: difference !== undefined,
    };
  });
}

/** Sets or removes one of the device's own overrides. */
function Change({
  settings: { device, own, values },
  definition,
  onDone,
}: {
  settings: DeviceSettings;
  definition: SettingsInfo;
  onDone: () => void;
}) {
  const properties = leavesOf(definition.schema);
  const path = useSignal('');
  const text = useSignal('');
  const busy = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  const chosen = properties.get(path.value);
  const isOwn = path.value !== '' && memberOf(own, path.value) !== undefined;
  const choose = (next: string) => {
    path.value = next;
    const value = memberOf(values, next);
    text.value = value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value);
    error.value = undefined;
  };
  const change = async (body: { set?: Record<string, unknown>; unset?: string[] }) => {
    busy.value = true;
    error.value = undefined;
    await send(at('PATCH /devices/:name/settings', { name: device }), body).then(
      () => {
        if (body.unset) choose('');
        onDone();
      },
      (reason: ApiError) => {
        error.value = reason;
      },
    );
    busy.value = false;
  };
  const submit = (event: Event) => {
    event.preventDefault();
    void change({ set: nested(path.value, parsed(text.value, chosen)) });
  };
  const word = path.value === '' ? 'SETTING=VALUE' : shellWord(`${path.value}=${text.value}`);
  return (
    <section class="call" aria-label="Override a setting">
      <h2>Override a setting</h2>
      <p>The value applies to this device only, and overrides those of its groups.</p>
      <form onSubmit={submit}>
        <div class="field">
          <label for="setting">setting</label>
          <select
            id="setting"
            required
            value={path.value}
            onInput={({ currentTarget }) => choose(currentTarget.value)}
          >
            <option value="">Choose …</option>
            {[...properties.keys()].map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </div>
        {chosen && (
          <Field
            id={`setting-${path.value}`}
            name="value"
            property={chosen}
            required={chosen.type !== 'string'}
            value={text.value}
            onChange={(next) => {
              text.value = next;
            }}
          />
        )}
        <button type="submit" class="primary" disabled={!chosen || busy.value}>
          {busy.value ? 'Waiting …' : 'Set'}
        </button>
        {isOwn && (
          <button type="button" disabled={busy.value} onClick={() => change({ unset: [path.value] })}>
            Remove the override
          </button>
        )}
      </form>
      {error.value && <Failure error={error.value} />}
      <Command line={`aiot device settings set ${shellWord(device)} ${word}`} />
    </section>
  );
}
