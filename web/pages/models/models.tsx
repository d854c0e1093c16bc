import type { ModelSummary, ModelVersion } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { goTo, linkTo, route } from '../../app/route.js';
import { mayPush } from '../../app/session.js';
import { plural, size } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Compare } from './compare.js';
import { headline } from './figures.js';
import { Version } from './version.js';

/** The pages of the registry: all models, the versions of one model, one version, or two versions side by side. */
export function Models({ parts }: PageOf) {
  const [name, version] = parts;
  if (name === undefined) return <Names />;
  if (version === 'compare') {
    const { query } = route.value;
    return <Compare name={name} a={Number(query.get('a'))} b={Number(query.get('b'))} />;
  }
  if (version === undefined) return <Versions name={name} />;
  return <Version key={`${name}@${version}`} name={name} version={version} />;
}

const figureColumn = <T,>(latest: (row: T) => ModelVersion): Column<T> => ({
  title: 'metric',
  cell: (row) => {
    const found = headline(latest(row));
    return found ? (
      <>
        <span class="soft">{found.title}</span> {found.text}
      </>
    ) : (
      <span class="soft">not evaluated</span>
    );
  },
  sort: (row) => headline(latest(row))?.value ?? null,
  number: true,
  width: '1.4fr',
});

const nameColumns: Column<ModelSummary>[] = [
  { title: 'model', cell: ({ name }) => name, sort: ({ name }) => name, width: '1.6fr' },
  {
    title: 'latest',
    cell: ({ latest }) => `@${latest.version}`,
    sort: ({ latest }) => latest.version,
    number: true,
    width: '0.6fr',
  },
  {
    title: 'stage',
    cell: ({ latest }) => <State state={latest.stage} />,
    sort: ({ latest }) => latest.stage,
  },
  {
    title: 'in production',
    cell: ({ production }) => (production === null ? <span class="soft">none</span> : `@${production}`),
    sort: ({ production }) => production,
    wide: true,
  },
  figureColumn(({ latest }) => latest),
  {
    title: 'size',
    cell: ({ latest }) => size(latest.bytes),
    sort: ({ latest }) => latest.bytes,
    number: true,
    wide: true,
  },
  {
    title: 'pushed',
    cell: ({ latest }) => <When at={latest.pushed} as="ago" />,
    sort: ({ latest }) => latest.pushed,
    wide: true,
  },
];

function Names() {
  const { value, error } = useResource(at('GET /models', {}), { all: 'models', events: ['model.*'] });
  return (
    <Page
      title="Models"
      command="aiot model list"
      actions={mayPush() && <a href={linkTo(['upload-model'])}>Upload a model</a>}
    >
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value?.length === 0 && (
        <Empty
          title="No models yet"
          command="aiot init watch --template motor-watch && cd watch && aiot pipeline run"
        >
          <p>Run a pipeline. It trains, quantizes, evaluates, signs and pushes a model:</p>
        </Empty>
      )}
      {value && value.length > 0 && (
        <Table
          rows={value}
          columns={nameColumns}
          keyOf={({ name }) => name}
          to={({ name }) => linkTo(['models', name])}
          label="Models"
          filter
        />
      )}
    </Page>
  );
}

const versionColumns: Column<ModelVersion>[] = [
  { title: 'version', cell: ({ version }) => `@${version}`, sort: ({ version }) => version, width: '0.7fr' },
  { title: 'stage', cell: ({ stage }) => <State state={stage} />, sort: ({ stage }) => stage },
  {
    title: 'gates',
    cell: ({ gates, trusted }) =>
      !trusted ? (
        <Badge tone="warn">not signed</Badge>
      ) : gates.length === 0 ? (
        <span class="soft">none</span>
      ) : gates.every(({ passed }) => passed) ? (
        <Badge tone="good">passed</Badge>
      ) : (
        <Badge tone="bad">failed</Badge>
      ),
    sort: ({ gates, trusted }) =>
      !trusted
        ? 'not signed'
        : gates.length === 0
          ? null
          : gates.every(({ passed }) => passed)
            ? 'passed'
            : 'failed',
    wide: true,
  },
  { title: 'data type', cell: ({ mode }) => mode, sort: ({ mode }) => mode, wide: true },
  figureColumn((version) => version),
  { title: 'size', cell: ({ bytes }) => size(bytes), sort: ({ bytes }) => bytes, number: true, wide: true },
  {
    title: 'arena',
    cell: ({ arenaBytes }) => (arenaBytes === null ? '–' : size(arenaBytes)),
    sort: ({ arenaBytes }) => arenaBytes,
    number: true,
    wide: true,
  },
  {
    title: 'pushed',
    cell: ({ pushed }) => <When at={pushed} as="ago" />,
    sort: ({ pushed }) => pushed,
    wide: true,
  },
];

function Versions({ name }: { name: string }) {
  const { value, error } = useResource(at('GET /models/:name', { name }), {
    all: 'versions',
    events: ['model.*'],
  });
  return (
    <Page title={name} above={{ title: 'Models', to: linkTo(['models']) }} command="aiot model list">
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && (
        <>
          {value.length > 1 && <Choose name={name} versions={value} />}
          <p class="count">{plural(value.length, 'version')}</p>
          <Table
            rows={value}
            columns={versionColumns}
            keyOf={({ version }) => String(version)}
            to={({ version }) => linkTo(['models', name, version])}
            label={`Versions of ${name}`}
            filter
          />
        </>
      )}
    </Page>
  );
}

function Choose({ name, versions }: { name: string; versions: readonly ModelVersion[] }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const chosen = new FormData(event.currentTarget as HTMLFormElement);
    goTo(linkTo(['models', name, 'compare'], { a: String(chosen.get('a')), b: String(chosen.get('b')) }));
  };
  const choice = (field: string, label: string, preset: number) => (
    <label>
      {label}{' '}
      <select name={field}>
        {versions.map(({ version, stage }) => (
          <option key={version} value={version} selected={version === preset}>
            @{version} {stage}
          </option>
        ))}
      </select>
    </label>
  );
  const [newest, before] = versions;
  return (
    <form class="filter" onSubmit={submit}>
      {choice('a', 'Compare', before?.version ?? 1)}
      {choice('b', 'with', newest?.version ?? 1)}
      <button type="submit">Compare</button>
    </form>
  );
}
