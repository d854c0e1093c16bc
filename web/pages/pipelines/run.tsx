import type { PipelineRun, ToldStep } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { linkTo, route } from '../../app/route.js';
import { lasting, moment, shellWord } from '../../app/text.js';
import { Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { Drift, driftOf } from './drift.js';
import { Graph } from './graph.js';
import { RunState } from './states.js';
import { Step } from './step.js';

/** One run: its steps as a graph, and of the one that is chosen what went in, what came out and what it said. */
export function OneRun({ project, run }: { project: string; run: string }) {
  const path = `/pipelines/${encodeURIComponent(project)}/runs/${encodeURIComponent(run)}`;
  const { value, error } = useResource<PipelineRun>(path, { events: ['pipeline.*'], subject: project });
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
        <Graph
          steps={value.steps}
          chosen={chosen?.name}
          to={(step) => linkTo(['pipelines', project, run], { step })}
        />
      </Section>
      {chosen && <Step step={chosen} />}
      {drift && <Drift drift={drift} />}
    </Page>
  );
}

/** What somebody who opens the page looks for: what failed, else what runs, else the last. */
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
    ['why', cause.text],
    ['by', who],
    ['started', moment(started)],
    ['took', lasting(seconds * 1000)],
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
    ['ran', `${engine === 'argo' ? 'in a cluster' : 'on its machine'}, aiot ${aiot}`],
  ] as const;
}
