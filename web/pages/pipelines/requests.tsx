import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { PipelineRequest, PipelineRunner } from '../../../src/lib/api/index.js';
import { at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { goTo, linkTo } from '../../app/route.js';
import { mayRun } from '../../app/session.js';
import { shellWord } from '../../app/text.js';
import { Badge, type Tone } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';
import { Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Graph } from './graph.js';

/** Number of requests that a page lists. */
const listed = 10;
/** How often the log of a request that has not ended is read, ms. */
const readEveryMs = 1000;

const tones: Record<PipelineRequest['state'], Tone> = {
  ...{ waiting: 'soft', running: 'blue', done: 'good', failed: 'bad', cancelled: 'warn', lost: 'bad' },
};

function RequestState({ request: { state, cancelledBy, ended } }: { request: PipelineRequest }) {
  const ending = state === 'running' && cancelledBy !== null && ended === null;
  const words = ending ? 'canceling' : state === 'cancelled' ? 'canceled' : state;
  return <Badge tone={tones[state]}>{words}</Badge>;
}

/** The connected runners, with a button each, and the newest requests: of all projects, or of one. */
export function Requests({ project }: { project?: string }) {
  const runners = useResource(at('GET /pipeline-runners', {}, { project }), {
    all: 'runners',
    events: ['pipeline.runner', 'pipeline.request'],
  });
  const requests = useResource(at('GET /pipeline-requests', {}, { project, limit: listed }), {
    events: ['pipeline.request', 'pipeline.cancel'],
  });
  const asking = useSignal<PipelineRunner | null>(null);
  const error = runners.error ?? requests.error;
  const found = requests.value?.requests ?? [];
  return (
    <>
      {error && <Failure error={error} />}
      {runners.value && (
        <Section title="Runners">
          {runners.value.length === 0 ? (
            <>
              <p>
                No runner is connected, so {project === undefined ? 'pipelines' : 'this pipeline'} cannot be
                started here. Start one on the machine with the project:
              </p>
              <Command line="aiot pipeline runner" label="Start a runner" />
            </>
          ) : (
            <Scroll label="Runners">
              <ShortTable
                rows={runners.value}
                columns={runnerColumns((runner) => {
                  asking.value = runner;
                })}
                keyOf={({ id }) => id}
                label="Runners"
                name="runners"
              />
            </Scroll>
          )}
        </Section>
      )}
      {found.length > 0 && (
        <Section title="Requested runs" note={requests.value?.next ? `the newest ${listed}` : ''}>
          <Scroll label="Requested runs">
            <ShortTable
              rows={found}
              columns={requestColumns}
              keyOf={({ id }) => id}
              label="Requested runs"
              name="requests"
            />
          </Scroll>
        </Section>
      )}
      {asking.value && (
        <Ask
          runner={asking.value}
          others={(runners.value ?? []).some(
            ({ project, name }) => project === asking.value?.project && name !== asking.value.name,
          )}
          onClose={() => {
            asking.value = null;
          }}
        />
      )}
    </>
  );
}

function runnerColumns(ask: (runner: PipelineRunner) => void): Column<PipelineRunner>[] {
  return [
    { title: 'project', cell: ({ project }) => project, sort: ({ project }) => project },
    { title: 'runner', cell: ({ name }) => name, sort: ({ name }) => name },
    {
      title: 'state',
      cell: ({ project, request }) =>
        request === null ? 'idle' : <a href={linkTo(['pipelines', project, request])}>running</a>,
      sort: ({ request }) => (request === null ? 0 : 1),
    },
    ...(mayRun()
      ? [
          {
            title: 'action',
            cell: (runner: PipelineRunner) => (
              <button
                type="button"
                aria-label={`Run ${runner.project} on ${runner.name}`}
                onClick={() => ask(runner)}
              >
                Run
              </button>
            ),
          },
        ]
      : []),
  ];
}

const requestColumns: Column<PipelineRequest>[] = [
  {
    title: 'requested',
    cell: ({ project, id, created }) => (
      <a href={linkTo(['pipelines', project, id])}>
        <When at={created} as="ago" />
      </a>
    ),
    sort: ({ created }) => -created,
  },
  { title: 'project', cell: ({ project }) => project, sort: ({ project }) => project },
  { title: 'state', cell: (request) => <RequestState request={request} />, sort: ({ state }) => state },
  { title: 'user', cell: ({ who }) => who, sort: ({ who }) => who, wide: true },
  {
    title: 'runner',
    cell: ({ runner, wanted }) => runner?.name ?? wanted ?? 'any',
    sort: ({ runner, wanted }) => runner?.name ?? wanted,
    wide: true,
  },
];

/** Asks for the parameters of a run, and requests it. */
function Ask({
  runner: { project, name: runner, steps },
  others,
  onClose,
}: {
  runner: PipelineRunner;
  /** Whether other runners of the project are connected. */
  others: boolean;
  onClose: () => void;
}) {
  const until = useSignal('');
  const force = useSignal(false);
  const any = useSignal(false);
  // Repeated attempts of this dialog request one run.
  const key = useSignal(crypto.randomUUID());
  const change = (edit: () => void) => {
    edit();
    key.value = crypto.randomUUID();
  };
  const run = async () => {
    const made = await send(
      at('POST /pipeline-requests', {}),
      {
        project,
        ...(any.value ? {} : { runner }),
        ...(until.value === '' ? {} : { until: until.value }),
        ...(force.value ? { force: true } : {}),
      },
      key.value,
    );
    goTo(linkTo(['pipelines', project, made.id]));
  };
  return (
    <Confirm title={`Run ${project}`} action="Run" run={run} onClose={onClose}>
      <p>
        The steps run on <strong>{runner}</strong>, and skip unchanged ones. They may push a model and start a
        rollout.
      </p>
      <div class="field">
        <label for="run-until">Last step</label>
        <select
          id="run-until"
          value={until.value}
          onChange={({ currentTarget }) =>
            change(() => {
              until.value = currentTarget.value;
            })
          }
        >
          <option value="">All steps</option>
          {steps.map((step) => (
            <option key={step.name} value={step.name}>
              {step.name}
            </option>
          ))}
        </select>
      </div>
      <Check
        checked={force.value}
        set={(checked) =>
          change(() => {
            force.value = checked;
          })
        }
      >
        Run unchanged steps too
      </Check>
      {others && (
        <Check
          checked={any.value}
          set={(checked) =>
            change(() => {
              any.value = checked;
            })
          }
        >
          Let any runner of the project take it
        </Check>
      )}
    </Confirm>
  );
}

function Check({
  checked,
  set,
  children,
}: {
  checked: boolean;
  set: (checked: boolean) => void;
  children: string;
}) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={({ currentTarget }) => set(currentTarget.checked)} />{' '}
      {children}
    </label>
  );
}

/** The page `#/pipelines/PROJECT/REQUEST`: a requested run with its steps and its newest lines, which follow the run. */
export function OneRequest({ project, id }: { project: string; id: string }) {
  const { value, error, reload } = useResource(at('GET /pipeline-requests/:id', { id }), {
    events: ['pipeline.request', 'pipeline.cancel'],
    subject: project,
  });
  const isOpen = value !== undefined && value.ended === null;
  useEffect(() => {
    if (!isOpen) return;
    const timer = setInterval(() => {
      if (!document.hidden) reload();
    }, readEveryMs);
    return () => clearInterval(timer);
  }, [isOpen, id]);
  const asking = useSignal(false);
  const above = { title: project, to: linkTo(['pipelines', project]) };
  const command = `aiot pipeline start ${shellWord(project)} --wait`;
  if (!value)
    return (
      <Page title="Requested run" above={above} command={command}>
        {error ? <Failure error={error} /> : <Loading />}
      </Page>
    );
  const mayCancel = mayRun() && value.cancelledBy === null && (isOpen || value.state === 'lost');
  return (
    <Page
      title="Requested run"
      above={above}
      command={command}
      actions={
        mayCancel && (
          <button type="button" onClick={() => (asking.value = true)}>
            Cancel the run
          </button>
        )
      }
    >
      {error && <Failure error={error} />}
      <Facts facts={factsOf(value)} />
      {value.error && <Reason error={value.error} />}
      {value.run !== null && <Steps project={project} run={value.run} />}
      <Section title="Log" note={noteOf(value)}>
        <Scroll label="Log of the run">
          <pre>{value.log.length === 0 ? 'No output yet' : value.log.join('\n')}</pre>
        </Scroll>
      </Section>
      {asking.value && (
        <Confirm
          title="Cancel the run?"
          action="Cancel the run"
          danger
          run={async () => {
            await send(at('POST /pipeline-requests/:id/cancel', { id }));
            reload();
          }}
          onClose={() => {
            asking.value = false;
          }}
        >
          <p>Finished steps are kept. A rollout that the run has started continues.</p>
        </Confirm>
      )}
    </Page>
  );
}

function Reason({ error: { message, next } }: { error: NonNullable<PipelineRequest['error']> }) {
  return (
    <p role="status">
      <strong>{message}</strong>
      {next && <span class="soft"> {next}</span>}
    </p>
  );
}

function Steps({ project, run }: { project: string; run: string }) {
  const { value } = useResource(at('GET /pipelines/:project/runs/:run', { project, run }), {
    events: ['pipeline.*'],
    subject: project,
  });
  if (!value) return null;
  const running = value.steps.find(({ state }) => state === 'running');
  return (
    <Section title="Steps">
      <Graph
        steps={value.steps}
        chosen={running?.name}
        to={(step) => linkTo(['pipelines', project, run], { step })}
      />
    </Section>
  );
}

function factsOf(request: PipelineRequest) {
  const { who, created, runner, wanted, until, force, run, project, ended, cancelledBy } = request;
  return [
    ['state', <RequestState key="state" request={request} />],
    ['user', who],
    ['requested', <When key="created" at={created} />],
    ['runner', runner?.name ?? (wanted === null ? 'any' : `${wanted} (waiting)`)],
    ['last step', until ?? 'all steps'],
    ...(force ? [['unchanged steps', 'run too'] as const] : []),
    ...(run === null
      ? []
      : [
          [
            'run',
            <a key="run" href={linkTo(['pipelines', project, run])}>
              {run.slice(-8)}
            </a>,
          ] as const,
        ]),
    ...(cancelledBy === null ? [] : [['canceled by', cancelledBy] as const]),
    ...(ended === null ? [] : [['ended', <When key="ended" at={ended} />] as const]),
  ] as const;
}

function noteOf({ lines, log, ended }: { lines: number; log: readonly string[]; ended: number | null }) {
  const part = lines > log.length ? `the newest ${log.length} of ${lines.toLocaleString('en')} lines` : '';
  return [part, ended === null ? 'live' : ''].filter(Boolean).join(', ');
}
