import type { PublishedRun } from '../../../src/lib/api/index.js';
import { axesOf } from '../../../src/lib/model/runs/axes.js';
import { bestIndex, comparisonOf, mainMetric, networkOf } from '../../../src/lib/model/runs/metrics.js';
import type { AnswerOf } from '../../app/api.js';
import { at } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { goTo, here, linkTo, route } from '../../app/route.js';
import { plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Empty, Failure, Loading, Page, Section } from '../../parts/page.js';
import { type Column, matching, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Coordinates } from './coordinates.js';
import { metricText, OneRun, RunNotes, shortRun, valueText } from './run.js';

/** The pages `#/runs`, `#/runs/MODEL` and `#/runs/MODEL/RUN`: training runs, as published by `model push` and `model runs push`. */
export function Runs({ parts: [model, run] }: PageOf) {
  if (model === undefined) return <Models />;
  return <RunsOf key={model} model={model} run={run} />;
}

type RunsOfModel = AnswerOf<'GET /training-runs'>['models'][number];

const modelColumns: Column<RunsOfModel>[] = [
  { title: 'model', cell: ({ model }) => model, sort: ({ model }) => model, width: '1.4fr' },
  { title: 'runs', cell: ({ runs }) => runs.toLocaleString('en'), sort: ({ runs }) => runs, number: true },
  {
    title: 'newest network',
    cell: ({ newest }) => networkOf(newest),
    sort: ({ newest }) => networkOf(newest) || null,
    wide: true,
  },
  {
    title: 'newest metric',
    cell: ({ newest }) => <MainMetric run={newest} named />,
    sort: ({ newest }) => mainValue(newest),
    number: true,
    width: '1.4fr',
  },
  {
    title: 'started',
    cell: ({ newest }) => <When at={newest.started} as="ago" />,
    sort: ({ newest }) => newest.started,
    wide: true,
  },
];

function Models() {
  const { value, error } = useResource(at('GET /training-runs', {}), {
    all: 'models',
    events: ['model.runs'],
  });
  return (
    <Page title="Runs" command="aiot model runs list">
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value?.length === 0 && (
        <Empty title="No training runs yet" command="aiot model train && aiot model runs push">
          <p>
            Training runs are shown here after <code>aiot model runs push</code> or{' '}
            <code>aiot model push</code>.
          </p>
        </Empty>
      )}
      {value && value.length > 0 && (
        <Table
          label="Models"
          filter
          rows={value}
          columns={modelColumns}
          keyOf={({ model }) => model}
          to={({ model }) => linkTo(['runs', model])}
        />
      )}
    </Page>
  );
}

function RunsOf({ model, run }: { model: string; run: string | undefined }) {
  const { value, error } = useResource(at('GET /training-runs/:model', { model }), {
    all: 'runs',
    events: ['model.runs'],
    subject: model,
  });
  if (run !== undefined) return <OneRun model={model} run={run} runs={value} error={error} />;
  // A comparison needs two runs.
  const command = value && value.length > 1 ? 'aiot model runs compare' : 'aiot model runs list';
  return (
    <Page title={model} above={{ title: 'Runs', to: linkTo(['runs']) }} command={command}>
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value?.length === 0 && (
        <Empty title="No training runs yet" command="aiot model train && aiot model runs push" />
      )}
      {value && value.length > 0 && <Comparison model={model} all={value} />}
    </Page>
  );
}

/** Runs on the same data: a plot with the runs that match the filter, and a table. */
function Comparison({ model, all }: { model: string; all: readonly PublishedRun[] }) {
  const sets = [...new Map(all.map(({ data }) => [data.digest, data])).values()];
  const wanted = route.value.query.get('data') ?? '';
  const data = sets.find(({ digest }) => wanted !== '' && keyOf(digest) === wanted) ?? sets[0];
  const runs = all.filter((run) => run.data.digest === data?.digest);
  const done = comparisonOf(runs.filter(({ state }) => state === 'done').reverse());
  const best = done.runs[bestIndex(done)]?.run;
  const columns = columnsOf(runs, best);
  const shown = new Set(matching(runs, columns, route.value.query.get('filter') ?? ''));
  const plotted = comparisonOf(done.runs.filter((run) => shown.has(run)));
  const axes = axesOf(plotted);
  return (
    <>
      {sets.length > 1 && (
        <p class="runs-data">
          <label for="runs-data">Data</label>{' '}
          <select
            id="runs-data"
            value={data && keyOf(data.digest)}
            onChange={({ currentTarget: { value } }) =>
              goTo(here({ data: value === keyOf(sets[0]?.digest ?? '') ? '' : value, filter: '' }))
            }
          >
            {sets.map(({ name, digest, samples }) => (
              <option key={digest} value={keyOf(digest)}>
                {name}, {plural(samples, 'sample')} ({keyOf(digest)})
              </option>
            ))}
          </select>
        </p>
      )}
      {!done.sameSplit && (
        <p class="soft">These runs have different splits. Only metrics over folds can be compared.</p>
      )}
      {axes.length > 1 && (
        <Section title="Settings and metrics" note="one line per finished run">
          <Coordinates
            axes={axes}
            runs={plotted.runs}
            best={best}
            to={({ run }) => linkTo(['runs', model, run])}
          />
        </Section>
      )}
      <Section title={plural(runs.length, 'run')} note={data && `on ${data.name}`}>
        <Table
          label={`Runs of ${model}`}
          filter
          rows={runs}
          columns={columns}
          keyOf={({ run }) => run}
          to={({ run }) => linkTo(['runs', model, run])}
        />
      </Section>
    </>
  );
}

/** Short form of a digest, for addresses. */
const keyOf = (digest: string) => digest.replace('sha256:', '').slice(0, 12);

/** Maximum number of settings with a column; the page of a run shows all. */
const mostSettings = 3;

function columnsOf(runs: readonly PublishedRun[], best: string | undefined): Column<PublishedRun>[] {
  const { params, metrics } = comparisonOf(runs);
  const settings = params
    .map(({ name }) => name)
    .filter((name) => name !== 'model.kind' && name !== 'model.layers' && name !== 'chosen')
    .slice(0, mostSettings);
  const mains = [...new Set(runs.flatMap((run) => mainMetric(run) ?? []))];
  const costs = ['arenaBytes', 'latencyUs', 'floatBytes'].filter((name) =>
    metrics.some((metric) => metric.name === name),
  );
  return [
    { title: 'run', cell: ({ run }) => shortRun(run), sort: ({ run }) => run, width: '1.7fr' },
    { title: 'network', cell: networkOf, sort: (run) => networkOf(run) || null, wide: true },
    // The metric's name is in the heading if all runs have the same metric.
    {
      title: mains.length === 1 ? (mains[0] ?? 'metric') : 'metric',
      cell: (run) => <MainMetric run={run} named={mains.length > 1} />,
      sort: mainValue,
      number: true,
      width: mains.length > 1 ? '1.7fr' : '1fr',
    },
    ...settings.map((name): Column<PublishedRun> => {
      const value = ({ params }: PublishedRun) => params[name];
      return {
        title: name.replace(/^model\.(?:train\.)?/, ''),
        cell: (run) => valueText(value(run)),
        sort: (run) => {
          const found = value(run) ?? null;
          return typeof found === 'boolean' ? String(found) : found;
        },
        wide: true,
      };
    }),
    ...costs.map(
      (name): Column<PublishedRun> => ({
        title: name,
        cell: ({ metrics }) => (metrics[name] ? metricText(metrics[name].value) : '–'),
        sort: ({ metrics }) => metrics[name]?.value ?? null,
        number: true,
        wide: true,
      }),
    ),
    {
      title: 'note',
      cell: (run) => (
        <>
          {run.run === best && <Badge tone="good">best</Badge>} <RunNotes run={run} />
        </>
      ),
      sort: (run) =>
        [
          ...(run.run === best ? ['best'] : []),
          ...(run.state === 'done' ? [] : [run.state]),
          ...(run.refused.length > 0 ? ['rejected'] : []),
          ...(run.leaks.length > 0 ? ['leaks'] : []),
          ...(run.kind === 'trial' ? ['trial'] : []),
        ].join(' ') || null,
      width: '1.1fr',
    },
    {
      title: 'started',
      cell: ({ started }) => <When at={started} as="ago" />,
      sort: ({ started }) => started,
      wide: true,
    },
  ];
}

function mainValue(run: PublishedRun): number | null {
  const name = mainMetric(run);
  return name === null ? null : (run.metrics[name]?.value ?? null);
}

function MainMetric({ run, named }: { run: PublishedRun; named: boolean }) {
  const name = mainMetric(run);
  const value = mainValue(run);
  if (name === null || value === null) return <span class="soft">none</span>;
  return (
    <>
      {named && <span class="soft">{name}</span>} {metricText(value)}
    </>
  );
}
