import type { PublishedRun } from '../../../src/lib/api/index.js';
import { networkOf } from '../../../src/lib/model/runs/metrics.js';
import type { ApiError } from '../../app/api.js';
import { linkTo } from '../../app/route.js';
import { lasting, plural, shellWord } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** A run's ID without random characters, unique in practice. */
export const shortRun = (run: string) => run.slice(0, 'tr_'.length + 12);

export const metricText = (value: number) => (Number.isInteger(value) ? String(value) : value.toPrecision(4));

export function valueText(value: string | number | boolean | undefined): string {
  return value === undefined ? '–' : String(value);
}

/** Reasons why a run is not ranked, and its state unless it is done. */
export function RunNotes({ run: { state, refused, leaks, kind } }: { run: PublishedRun }) {
  return (
    <>
      {state !== 'done' && <State state={state} />}
      {refused.length > 0 && <Badge tone="warn">rejected</Badge>}
      {leaks.length > 0 && <Badge tone="bad">leaks</Badge>}
      {kind === 'trial' && refused.length + leaks.length === 0 && <span class="soft">trial</span>}
    </>
  );
}

/** One run: metrics with their intervals and values by fold, and all settings. */
export function OneRun({
  model,
  run,
  runs,
  error,
}: {
  model: string;
  run: string;
  runs: readonly PublishedRun[] | undefined;
  error: ApiError | undefined;
}) {
  const found = runs?.find((each) => each.run === run);
  return (
    <Page
      title={shortRun(run)}
      above={{ title: model, to: linkTo(['runs', model]) }}
      command={`aiot model runs show ${shellWord(run)}`}
    >
      {error && <Failure error={error} />}
      {!runs && !error && <Loading />}
      {runs && !found && (
        <p>The platform does not have this run. It stores the newest 1,000 of each model.</p>
      )}
      {found && <Details run={found} />}
    </Page>
  );
}

function Details({ run }: { run: PublishedRun }) {
  const metrics = Object.entries(run.metrics).map(([name, metric]) => ({ name, ...metric }));
  const settings = Object.entries(run.params).map(([name, value]) => ({ name, value }));
  return (
    <>
      <Facts facts={factsOf(run)} />
      <Section title="Metrics">
        <Scroll label="Metrics">
          <ShortTable
            label="Metrics"
            name="metrics"
            rows={metrics}
            keyOf={({ name }) => name}
            columns={[
              { title: 'metric', cell: ({ name }) => name, sort: ({ name }) => name },
              {
                title: 'value',
                cell: ({ value }) => metricText(value),
                sort: ({ value }) => value,
                number: true,
              },
              {
                title: '95 % interval',
                cell: ({ interval }) => (interval ? interval.map(metricText).join('–') : '–'),
                sort: ({ interval }) => interval?.[0] ?? null,
                number: true,
              },
              {
                title: 'by fold',
                cell: ({ folds }) => folds?.map(metricText).join(' ') ?? '–',
                sort: ({ folds }) => folds?.[0] ?? null,
                wide: true,
              },
            ]}
          />
        </Scroll>
      </Section>
      <Section title="Settings">
        <Scroll label="Settings">
          <ShortTable
            label="Settings"
            name="settings"
            rows={settings}
            keyOf={({ name }) => name}
            columns={[
              { title: 'setting', cell: ({ name }) => name, sort: ({ name }) => name },
              { title: 'value', cell: ({ value }) => String(value), sort: ({ value }) => String(value) },
            ]}
          />
        </Scroll>
      </Section>
    </>
  );
}

function factsOf(run: PublishedRun) {
  const { environment: at, data, split, error, leaks, refused, search } = run;
  const took = run.ended === null ? '' : `, ${lasting(run.ended - run.started)}`;
  return [
    [
      'state',
      <>
        <State state={run.state} />
        {error && `: ${error.message} (${error.code})`}
      </>,
    ],
    ['network', networkOf(run)],
    [
      'started',
      <>
        <When at={run.started} />
        {took}
      </>,
    ],
    ['data', `${data.name}, ${plural(data.samples, 'sample')}, ${data.digest.slice(0, 19)}…`],
    ['split', `by ${split.by}, seed ${run.seed}, ${split.digest.slice(0, 19)}…`],
    ['machine', `${at.platform}, ${at.cores} × ${at.cpu}`],
    ['aiot', `${at.aiot}, Node ${at.node}${at.backend === null ? '' : `, ${at.backend}`}`],
    ...(search === null ? [] : ([['search', search]] as const)),
    ...(leaks.length === 0 ? [] : ([['leaks', leaks.join('; ')]] as const)),
    ...(refused.length === 0 ? [] : ([['rejected', refused.join('; ')]] as const)),
  ] as const;
}
