import type { RunSummary } from '../../../src/lib/api/index.js';
import { stepCounts } from '../../../src/lib/pipeline/graph-model.js';
import { at } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { here, linkTo, route } from '../../app/route.js';
import { lasting } from '../../app/text.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { Pages } from '../../parts/pages.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { OneRequest, Requests } from './requests.js';
import { OneRun } from './run.js';
import { RunState } from './states.js';

/** The pages `#/pipelines`, `#/pipelines/PROJECT`, `#/pipelines/PROJECT/RUN` and `#/pipelines/PROJECT/REQUEST`. */
export function Pipelines({ parts: [project, run] }: PageOf) {
  if (project === undefined) return <Projects />;
  if (run?.startsWith('request_')) return <OneRequest project={project} id={run} />;
  return run === undefined ? <Runs project={project} /> : <OneRun project={project} run={run} />;
}

const facts: Column<RunSummary>[] = [
  { title: 'state', cell: (run) => <RunState run={run} />, sort: ({ state }) => state },
  {
    title: 'steps',
    cell: ({ steps }) => stepCounts(steps),
    sort: ({ steps }) => stepCounts(steps),
    width: '1.6fr',
  },
  {
    title: 'trigger',
    cell: ({ cause }) => cause.text,
    sort: ({ cause }) => cause.text,
    width: '1.6fr',
    wide: true,
  },
  {
    title: 'model',
    cell: ({ model }) => modelText(model),
    sort: ({ model }) => modelText(model) || null,
    wide: true,
  },
  {
    title: 'duration',
    cell: ({ seconds }) => lasting(seconds * 1000),
    sort: ({ seconds }) => seconds,
    number: true,
    wide: true,
  },
  {
    title: 'started',
    cell: ({ started }) => <When at={started} as="ago" />,
    sort: ({ started }) => started,
  },
];

function Projects() {
  const { value, error } = useResource(at('GET /pipelines', {}), {
    all: 'pipelines',
    events: ['pipeline.*'],
  });
  return (
    <Page title="Pipelines" command="aiot pipeline status">
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.length === 0 && (
        <Empty
          title="No pipeline runs yet"
          command="aiot init watch --template motor-watch && cd watch && aiot pipeline run"
        >
          <p>
            A pipeline runs the steps from data to devices, and reuses results whose inputs have not changed.
          </p>
        </Empty>
      )}
      {value && value.length > 0 && (
        <Table
          label="Projects"
          filter
          rows={value}
          columns={[
            { title: 'project', cell: ({ project }) => project, sort: ({ project }) => project },
            ...facts,
          ]}
          keyOf={({ project }) => project}
          to={({ project }) => linkTo(['pipelines', project])}
        />
      )}
      {value && <Requests />}
    </Page>
  );
}

const atATime = 500;

function Runs({ project }: { project: string }) {
  const after = route.value.query.get('after') ?? '';
  const query = { limit: atATime, after: after || undefined };
  const { value, error } = useResource(at('GET /pipelines/:project/runs', { project }, query), {
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
            label={`Runs of ${project}`}
            filter
            rows={value.runs}
            columns={[
              { title: 'run', cell: ({ run }) => run.slice(-8), sort: ({ run }) => run, width: '0.8fr' },
              ...facts,
            ]}
            keyOf={({ run }) => run}
            to={({ run }) => linkTo(['pipelines', project, run])}
          />
          <Pages
            first={after === '' ? null : here({ after: '' })}
            next={value.next === null ? null : here({ after: value.next })}
          />
        </>
      )}
      {value && <Requests project={project} />}
    </Page>
  );
}

function modelText(model: RunSummary['model']): string {
  if (model === null) return '';
  return model.version === null ? model.name : `${model.name}@${model.version}`;
}
