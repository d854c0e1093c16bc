import { stepCounts } from '../../../src/lib/pipeline/graph-model.js';
import type { RunSummary } from '../../../src/lib/registry/index.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { linkTo, route } from '../../app/route.js';
import { ago, lasting } from '../../app/text.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { Pages } from '../../parts/pages.js';
import { type Column, Table } from '../../parts/table.js';
import { OneRun } from './run.js';
import { RunState } from './states.js';

/** `#/pipelines`, `#/pipelines/PROJECT` and `#/pipelines/PROJECT/RUN`. */
export function Pipelines({ parts: [project, run] }: PageOf) {
  if (project === undefined) return <Projects />;
  return run === undefined ? <Runs project={project} /> : <OneRun project={project} run={run} />;
}

const facts: Column<RunSummary>[] = [
  { title: 'state', cell: (run) => <RunState run={run} />, sort: ({ state }) => state },
  { title: 'steps', cell: ({ steps }) => stepCounts(steps), width: '1.6fr' },
  { title: 'why', cell: ({ cause }) => cause.text, width: '1.6fr', wide: true },
  { title: 'model', cell: ({ model }) => modelText(model), wide: true },
  {
    title: 'took',
    cell: ({ seconds }) => lasting(seconds * 1000),
    sort: ({ seconds }) => seconds,
    number: true,
    wide: true,
  },
  { title: 'started', cell: ({ started }) => ago(started), sort: ({ started }) => started },
];

function Projects() {
  const { value, error } = useResource<RunSummary[]>('/pipelines', {
    all: 'pipelines',
    events: ['pipeline.*'],
  });
  return (
    <Page title="Pipelines" command="aiot pipeline status">
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.length === 0 && (
        <Empty
          title="No pipeline has run with this platform"
          command="aiot init watch --template motor-watch && cd watch && aiot pipeline run"
        >
          <p>From data to devices in one command: what did not change is not run again.</p>
        </Empty>
      )}
      {value && value.length > 0 && (
        <Table
          label="Projects, each with its newest run"
          rows={value}
          columns={[
            { title: 'project', cell: ({ project }) => project, sort: ({ project }) => project },
            ...facts,
          ]}
          keyOf={({ project }) => project}
          to={({ project }) => linkTo(['pipelines', project])}
        />
      )}
    </Page>
  );
}

const atATime = 100;

function Runs({ project }: { project: string }) {
  const after = route.value.query.get('after') ?? '';
  const query = new URLSearchParams({ limit: String(atATime), ...(after === '' ? {} : { after }) });
  const path = `/pipelines/${encodeURIComponent(project)}/runs?${query}`;
  const { value, error } = useResource<{ runs: RunSummary[]; next: string | null }>(path, {
    events: ['pipeline.*'],
    subject: project,
  });
  return (
    <Page
      title={project}
      above={{ title: 'Pipelines', to: linkTo(['pipelines']) }}
      command="aiot pipeline history"
    >
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.runs.length === 0 && <Empty title="No pipeline runs yet" command="aiot pipeline run" />}
      {value && value.runs.length > 0 && (
        <>
          <Table
            label={`Runs of ${project}, newest first`}
            rows={value.runs}
            columns={[{ title: 'run', cell: ({ run }) => run.slice(-8), width: '0.8fr' }, ...facts]}
            keyOf={({ run }) => run}
            to={({ run }) => linkTo(['pipelines', project, run])}
          />
          <Pages
            first={after === '' ? null : linkTo(['pipelines', project])}
            next={value.next === null ? null : linkTo(['pipelines', project], { after: value.next })}
          />
        </>
      )}
    </Page>
  );
}

function modelText(model: RunSummary['model']): string {
  if (model === null) return '';
  return model.version === null ? model.name : `${model.name}@${model.version}`;
}
