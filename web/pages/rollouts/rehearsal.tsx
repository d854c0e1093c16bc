import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { RolloutPlan } from '../../../src/lib/api/index.js';
import type {
  RehearsalAnswer,
  RehearsalConditions,
  RehearsalRequest,
  Rehearsals,
} from '../../../src/lib/api/rollouts/rehearsal.js';
import { elapsed } from '../../../src/lib/core/figures.js';
import { plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Field, type Property } from '../../parts/field.js';
import { Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { words } from './states.js';

interface ConditionField {
  title: string;
  property: Property;
  /** The default, which is the command line's. */
  usual: string;
  /** The flag of `aiot rollout rehearse`, without its value, and the unit that follows the value. */
  flag: string;
  unit: string;
}

const percent = (description: string): Property => ({
  ...{ type: 'number', minimum: 0, maximum: 100, description },
});

/** The fields of the simulated conditions, by their names in the form. */
const conditionFields = {
  failRate: {
    title: 'Devices that fail, %',
    property: percent('How many fail the trial of the new version.'),
    ...{ usual: '0', flag: '--fail-rate', unit: '%' },
  },
  offline: {
    title: 'Devices offline, %',
    property: percent('At any time; others each minute.'),
    ...{ usual: '2', flag: '--offline', unit: '%' },
  },
  powerCuts: {
    title: 'Power failures, %',
    property: percent('How many updates lose power in their trial.'),
    ...{ usual: '1', flag: '--power-cuts', unit: '%' },
  },
  crashRate: {
    title: 'Crashes per device-hour, %',
    property: percent('Probability that an updated device crashes within an hour.'),
    ...{ usual: '0', flag: '--crash-rate', unit: '%' },
  },
  outage: {
    title: 'Outage of the platform, minutes',
    property: { type: 'number', minimum: 0, description: 'One, in the first ten minutes.' },
    ...{ usual: '0', flag: '--outage', unit: 'm' },
  },
  size: {
    title: 'Download per device, kB',
    property: { type: 'number', minimum: 0.001 },
    ...{ usual: '250', flag: '--size', unit: 'kB' },
  },
  bandwidth: {
    title: 'Download rate, kB/s',
    property: { type: 'number', minimum: 0.001 },
    ...{ usual: '50', flag: '--bandwidth', unit: 'kB' },
  },
  runs: {
    title: 'Runs',
    property: { type: 'integer', minimum: 1, maximum: 10_000 },
    ...{ usual: '20', flag: '--runs', unit: '' },
  },
} as const satisfies Record<string, ConditionField>;
type ConditionName = keyof typeof conditionFields;
const conditionNames = Object.keys(conditionFields) as ConditionName[];
type Conditions = Record<ConditionName, string>;

/** Conditions of downloads and trials, which settings do not have. */
const ofReleases: readonly ConditionName[] = ['powerCuts', 'size', 'bandwidth'];

const usual = Object.fromEntries(
  conditionNames.map((name) => [name, conditionFields[name].usual]),
) as Conditions;

/**
 * Rehearses a plan on a simulated fleet, in a worker of the browser. A new plan is rehearsed at once under the usual conditions, which can
 * then be changed. Nothing is sent to the platform.
 */
export function Rehearsal({ plan }: { plan: RolloutPlan }) {
  const texts = useSignal(usual);
  const runs = useRuns(plan, usual);
  const { done, result, error } = runs.state;
  const isOfSettings = plan.request.releases.some(({ kind }) => kind === 'settings');
  const names = conditionNames.filter((name) => !isOfSettings || !ofReleases.includes(name));
  const isValid = conditionNames.every((name) => valid(texts.value[name], conditionFields[name].property));
  return (
    <Section title="Rehearsal" note="on a simulated fleet, in this browser">
      <div class="form">
        {names.map((name) => (
          <Field
            key={name}
            id={`rehearsal-${name}`}
            name={conditionFields[name].title}
            property={isOfSettings ? ofSettings(name) : conditionFields[name].property}
            required
            value={texts.value[name]}
            onChange={(text) => {
              texts.value = { ...texts.value, [name]: text };
              runs.clear();
            }}
          />
        ))}
      </div>
      <div class="choices">
        {done === null ? (
          <button type="button" disabled={!isValid} onClick={() => runs.start(texts.value)}>
            Rehearse
          </button>
        ) : (
          <button type="button" onClick={runs.stop}>
            Stop after {plural(done, 'run')}
          </button>
        )}
      </div>
      {error !== null && <p role="alert">The rehearsal failed: {error}</p>}
      {result && <Result result={result} isOfSettings={isOfSettings} />}
      <Command line={commandOf(texts.value)} />
    </Section>
  );
}

function ofSettings(name: ConditionName): Property {
  return name === 'failRate' ? percent('How many reject the settings.') : conditionFields[name].property;
}

/** The spread over the runs, and how they ended. */
function Result({ result, isOfSettings }: { result: Rehearsals; isOfSettings: boolean }) {
  const { runs, devices, trouble, stopped, ends, seconds, tried, failed, left } = result;
  const rows = [
    { what: 'duration', figures: seconds, show: (value: number) => elapsed(value * 1000) },
    {
      what: isOfSettings ? 'devices that answered' : 'devices that tried the update',
      figures: tried,
      show: counted,
    },
    { what: 'devices that failed', figures: failed, show: counted },
    { what: 'devices left unchanged', figures: left, show: counted },
  ];
  type Row = (typeof rows)[number];
  const column = (title: string, of: (figures: Row['figures']) => number): Column<Row> => ({
    title,
    cell: ({ figures, show }) => show(of(figures)),
    sort: ({ figures }) => of(figures),
    number: true,
  });
  const columns: Column<Row>[] = [
    { title: 'over the runs', cell: ({ what }) => what, sort: ({ what }) => what, width: '40%' },
    column('median', ({ p50 }) => p50),
    column('p90', ({ p90 }) => p90),
    column('maximum', ({ max }) => max),
  ];
  return (
    <>
      <p role="status">
        {plural(devices, 'device')}, rehearsed {plural(runs, 'time')}:{' '}
        {trouble === 0 ? (
          <Badge tone="good">every run reached all devices</Badge>
        ) : (
          <>
            <Badge tone="bad">{share(trouble)} of the runs had problems</Badge>, and {share(stopped)} stopped
            automatically
          </>
        )}
      </p>
      <ul>
        {ends.map(({ state, code, runs: count }) => (
          <li key={`${state} ${code}`}>
            {plural(count, 'run')}: {words(state)}
            {code === null ? '' : ` (${code})`}
          </li>
        ))}
      </ul>
      <Scroll label="Results of the rehearsal">
        <ShortTable
          rows={rows}
          columns={columns}
          keyOf={({ what }) => what}
          label="Results of the rehearsal"
          name="rehearsal"
        />
      </Scroll>
    </>
  );
}

interface Runs {
  /** Number of finished runs; null = no rehearsal is in progress. */
  done: number | null;
  result: Rehearsals | null;
  error: string | null;
}

/** The rehearsals of a plan. The worker ends with the page, with the plan, and with the next rehearsal. */
function useRuns(plan: RolloutPlan, first: Conditions) {
  const state = useSignal<Runs>({ done: null, result: null, error: null });
  const worker = useSignal<Worker | null>(null);
  const stop = () => {
    worker.value?.terminate();
    worker.value = null;
    state.value = { ...state.value, done: null };
  };
  const start = (texts: Conditions) => {
    stop();
    state.value = { done: 0, result: null, error: null };
    const own = new Worker(workerUrl(), { type: 'module' });
    worker.value = own;
    own.onmessage = ({ data }: MessageEvent<RehearsalAnswer>) => {
      if ('done' in data) state.value = { ...state.value, done: data.done };
      else {
        stop();
        state.value = { done: null, result: null, error: null, ...data };
      }
    };
    own.onerror = ({ message }) => {
      stop();
      state.value = { done: null, result: null, error: message || 'the rehearsal did not load' };
    };
    own.postMessage({ plan, conditions: conditionsOf(texts) } satisfies RehearsalRequest);
  };
  /** Removes the result, which is that of other conditions. */
  const clear = () => {
    stop();
    state.value = { done: null, result: null, error: null };
  };
  useEffect(() => {
    start(first);
    return stop;
  }, [plan]);
  return { state: state.value, start, stop, clear };
}

/** The worker's file, whose name contains a digest. */
function workerUrl(): string {
  return document.querySelector<HTMLMetaElement>('meta[name=rehearsal]')?.content ?? '';
}

function conditionsOf(texts: Conditions): RehearsalConditions {
  const number = (name: ConditionName) => Number(texts[name]);
  const part = (name: ConditionName) => number(name) / 100;
  return {
    runs: number('runs'),
    bytes: Math.round(number('size') * 1000),
    outageMs: Math.round(number('outage') * 60_000),
    network: {
      ...{ seed: 1, loss: 0.01, latencyMs: [20, 200] },
      ...{ offline: part('offline'), failRate: part('failRate'), powerCuts: part('powerCuts') },
      crashRate: part('crashRate'),
      bytesPerSecond: Math.round(number('bandwidth') * 1000),
    },
  };
}

function valid(text: string, { type, minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: Property): boolean {
  const value = Number(text);
  if (text.trim() === '' || !(value >= minimum && value <= maximum)) return false;
  return type !== 'integer' || Number.isInteger(value);
}

/** The equivalent commands, with the flags that differ from the defaults. */
function commandOf(texts: Conditions): string {
  const flags = conditionNames
    .filter((name) => texts[name] !== conditionFields[name].usual && texts[name] !== '')
    .map((name) => `${conditionFields[name].flag} ${texts[name]}${conditionFields[name].unit}`);
  return ['aiot rollout rehearse rollout.json', ...flags].join(' ');
}

const counted = (value: number) => value.toLocaleString('en');
const share = (value: number) => `${Math.round(value * 1000) / 10} %`;
