import type { PipelineRun, ToldStep } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { here, linkTo, route } from '../../app/route.js';
import { lasting, shellWord } from '../../app/text.js';
import { Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { When } from '../../parts/when.js';
import { Drift, driftOf } from './drift.js';
import { Graph } from './graph.js';
import { RunState } from './states.js';
import { Step } from './step.js';

/** One run, with its steps as a graph, and the inputs, outputs and log of the selected step. */
export function OneRun({ project, run }: { project: string; run: string }) {
  const place = at('GET /pipelines/:project/runs/:run', { project, run });
  const { value, error } = useResource(place, { events: ['pipeline.*'], subject: project });
  const above = { title: project, to: linkTo(['pipelines', project]) };
  const command = `aiot pipeline status ${shellWord(run)}`;
  if (!value) {
    return (
      <Page title={run} above={above} command={command}>
        {error ? <Failure error={error} /> : <Loading />}
      </Page>
    );
  }
  const wanted = route.value.query.get('step');
  const chosen = value.steps.find(({ name }) => name === wanted) ?? mostTelling(value.steps);
  const drift = value.steps.map(({ result }) => driftOf(result)).find((found) => found !== null);
  return (
    <Page title={run} above={above} command={command}>
      {error && <Failure error={error} />}
      <Facts facts={factsOf(value)} />
      <Section title="Steps">
        <Graph steps={value.steps} chosen={chosen?.name} to={(step) => here({ step })} />
      </Section>
      {chosen && <Step step={chosen} />}
      {drift && <Drift drift={drift} />}
    </Page>
  );
}

/** The step to show first: the failed one, or else the running one, or else the last. */
function mostTelling(steps: readonly ToldStep[]): ToldStep | undefined {
  const first = (...states: string[]) => steps.find(({ state }) => states.includes(state));
  return (
    first('failed', 'stopped', 'interrupted') ??
    first('running') ??
    steps.findLast(({ started }) => started !== null) ??
    steps[0]
  );
}

function factsOf(run: PipelineRun) {
  const { cause, who, started, seconds, model, engine, aiot } = run;
  return [
    ['state', <RunState key="state" run={run} />],
    ['trigger', cause.text],
    ['user', who],
    ['started', <When key="started" at={started} />],
    ['duration', lasting(seconds * 1000)],
    ...(model
      ? [
          [
            'model',
            model.version === null ? (
              model.name
            ) : (
              <a key="model" href={linkTo(['models', model.name, model.version])}>
                {model.name}@{model.version}
              </a>
            ),
          ] as const,
        ]
      : []),
    ['engine', `${engine === 'argo' ? 'Argo Workflows' : 'local'}, aiot ${aiot}`],
  ] as const;
}
