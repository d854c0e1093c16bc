import { percent, shellWord, size, thousands } from '../../core/index.js';
import type { DemoResult } from '../../demo/index.js';
import { bold, dim, yellow } from './style.js';
import { elapsed, facts, next, table } from './text.js';

/** The demo's closing table, what the data check found, where everything is, and what to type next. */
export function demoSummary(result: DemoResult): string {
  const { dataset, model, rollout, live } = result;
  const scores = table(
    ['held-out recordings', 'accuracy', 'macro-F1', 'size'],
    [
      ['float32', percent(model.accuracy.float), model.macroF1.float.toFixed(3), size(model.bytes.float)],
      ['int8', percent(model.accuracy.int8), model.macroF1.int8.toFixed(3), size(model.bytes.int8)],
      ['int8 after the vote', null, model.macroF1.voted.toFixed(3), null],
      [`live, ${rollout.devices} devices`, percent(live.accuracy), live.macroF1.toFixed(3), null],
    ],
  );
  const found = dataset.findings
    .filter(({ severity }) => severity !== 'info')
    .map(({ message, advice }) => `${yellow('!')} ${message}\n  ${dim(advice)}`);
  const figures = facts([
    ['dataset', `${dataset.recordings} recordings, ${thousands(dataset.samples)} samples`],
    ['model', `${model.name}@${model.version}, arena ${size(model.arenaBytes)}`],
    ['rollout', `${rollout.committed} of ${rollout.devices} committed in ${rollout.seconds.toFixed(1)} s`],
    ['latency', `p50 ${live.latencyMs.p50.toFixed(2)} ms, p99 ${live.latencyMs.p99.toFixed(2)} ms a window`],
    ['kept in', result.folder],
    ['report', result.report],
  ]);
  const done = `${bold('Done')} in ${elapsed(result.seconds * 1000)}${dim(': every device runs the model, and their answers passed its gate.')}`;
  return [
    '',
    scores,
    '',
    figures,
    ...(found.length > 0 ? ['', bold('What the data check found'), ...found] : []),
    '',
    done,
    next(
      `aiot model inspect ${shellWord(`${result.folder}/project/build/model.aiot`)}`,
      `aiot up --data ${shellWord(`${result.folder}/platform`)} --new-token`,
      'aiot init my-project --template motor-watch',
    ),
  ].join('\n');
}
