import { elapsed, foldsText, percent, plural, shareText, size } from '../../core/figures.js';
import type { QuantizeResult } from '../../model/quantize/result.js';
import type { FoldsFile, SearchFile, TrainResult } from '../../model/train/result.js';
import type { EpochFigures } from '../../model/train/types.js';
import { facts, green, red, shownPath, table, yellow } from './text.js';

const score = (value: number) => value.toFixed(4);

/** One line per epoch: `epoch 12/50  loss 0.231  validation 93.1 %  8 s left`. */
export function epochText(
  { epoch, epochs, loss, valLoss, valAccuracy }: EpochFigures,
  leftMs: number | null,
): string {
  const validation = valAccuracy === null ? `loss ${valLoss.toFixed(3)}` : percent(valAccuracy);
  const left = leftMs === null || epoch === epochs ? '' : `  ${elapsed(leftMs)} left`;
  return `epoch ${epoch}/${epochs}  loss ${loss.toFixed(3)}  validation ${validation}${left}`;
}

/**
 * The trained model, its data, and its quality; leaks first.
 * @param at flags that suggested commands need, such as ` --project fan`
 */
export function trainingText(result: TrainResult, at = ''): string {
  const { windows, split } = result;
  const examples = unitOf(split) === 'row' ? 'Rows' : result.output === 'objects' ? 'Pictures' : 'Windows';
  const leaks = result.leaks
    .map((text) => `${red('✗')} Leaking split, metrics are too optimistic: ${text}\n`)
    .join('');
  const pairs: [string, string][] = [
    ['Model', `${result.model}, ${size(result.bytes)} float, predicts ${answerText(result)}`],
    ...inputPairs(result),
    [examples, `${windows.train} for training, ${windows.validation} for validation; split by ${split}`],
    fittedPair(result),
    ...figurePairs(result),
    ...baselinePairs(result),
    ['File', shownPath(result.file)],
    ...(result.run === null ? [] : [['Run', result.run] as [string, string]]),
  ];
  const folds = result.folds ? `\n\n${foldsTable(result.folds, unitOf(split))}` : '';
  const better = linearAdvice(result, at);
  const notes = [...result.notes, ...(better === null ? [] : [better])]
    .map((note) => `\n${yellow('!')} ${note}`)
    .join('');
  return `${leaks}${facts(pairs)}${notes}${folds}`;
}

/** How the model was fitted, and how long it took. */
function fittedPair({ choice, backend, epochs, seconds, metrics }: TrainResult): [string, string] {
  const time = `${seconds.toFixed(1)} s`;
  if (choice?.kept === 'linear') return ['Network', `a linear model, one dense layer, in ${time}`];
  if (backend === 'forest') return ['Trees', `grown in ${time}`];
  return ['Epochs', `${epochs} in ${time} on ${backend}; kept epoch ${metrics.bestEpoch}`];
}

/**
 * Advice if the baseline is better than the trained network; null if it is not, or if the baseline was a candidate when the model was
 * chosen.
 */
function linearAdvice(
  { baseline, choice, metrics, split, epochs, backend }: TrainResult,
  at: string,
): string | null {
  if (!baseline || choice) return null;
  const { valAccuracy, valRmse } = metrics;
  const isBetter =
    valAccuracy === null || baseline.valAccuracy === null
      ? valRmse !== null && baseline.valRmse !== null && baseline.valRmse < valRmse
      : baseline.valAccuracy > valAccuracy;
  if (!isBetter) return null;
  if (unitOf(split) !== 'row' && backend !== 'forest' && metrics.bestEpoch > 0.95 * epochs)
    return `A linear model did better than this network, which was still improving in its last epochs. Train longer: \`aiot model train${at} --epochs ${4 * epochs}\`, or \`model.train.epochs\` in aiot.yaml.`;
  const isForest = backend === 'forest';
  const what = isForest ? 'these trees' : 'this network, which may be too large for so little data';
  const why = `A linear model did better than ${what}.`;
  if (isForest && unitOf(split) !== 'row')
    return `${why} Record more data, or train a network with \`aiot model train${at} --kind mlp\`.`;
  return unitOf(split) === 'row'
    ? `${why} To keep the better of the two, train without --kind and --layers, and remove model.layers and model.train.members from aiot.yaml.`
    : `${why} Record more data, or look for a better network with \`aiot model train${at} --search 30\`.`;
}

function answerText({ output, classes }: TrainResult): string {
  if (output === 'classes') return classes.length > 6 ? `${classes.length} classes` : classes.join(', ');
  if (output === 'objects') return `objects: ${classes.join(', ')}`;
  if (output === 'probability') return `the probability of ${classes[1]}`;
  return output === 'value' ? 'a value' : `the distance of an input from ${classes[0]}`;
}

/** The roles of a table's columns, so that users notice unintended ones. */
function inputPairs({ inputs }: TrainResult): [string, string][] {
  if (inputs === null) return [];
  const shown = inputs.slice(0, 8).join(', ');
  return [['Inputs', inputs.length > 8 ? `${inputs.length}: ${shown}, …` : shown]];
}

function figurePairs({ metrics, threshold, output, windows, split }: TrainResult): [string, string][] {
  const { accuracy, valAccuracy, valInterval, valGroups, loss, valLoss, valRmse } = metrics;
  if (accuracy !== null && valAccuracy !== null) {
    const validation = {
      ...{ share: valAccuracy, cases: windows.validation, unit: unitOf(split) },
      ...{ groups: valGroups, interval: valInterval },
    };
    return [
      ['Training', percent(accuracy)],
      ['Validation', shareText(validation)],
    ];
  }
  const pairs: [string, string][] = [
    ['Loss', `${loss.toPrecision(3)} training, ${valLoss.toPrecision(3)} validation`],
  ];
  if (valRmse !== null) pairs.push(['Error', `${valRmse.toPrecision(4)} (root mean square, validation)`]);
  if (output === 'objects' && threshold !== null)
    pairs.push(['Threshold', `a cell counts at a share of ${threshold.toPrecision(2)} or more`]);
  if (output === 'reconstruction' && threshold !== null)
    pairs.push(['Threshold', `an error above ${threshold.toPrecision(4)} is an anomaly`]);
  return pairs;
}

/**
 * The metric of a linear model on the same examples, which of the two models was selected, and whether the selected model was
 * then retrained on these examples as well.
 */
function baselinePairs({ baseline, choice, refitted }: TrainResult): [string, string][] {
  const { valAccuracy = null, valRmse = null } = baseline ?? {};
  const pairs: [string, string][] = [];
  if (choice?.kept !== 'linear') {
    if (valAccuracy !== null) pairs.push(['Linear model', `${percent(valAccuracy)} on the same examples`]);
    if (valRmse !== null) pairs.push(['Linear model', `${valRmse.toPrecision(4)} on the same examples`]);
  }
  if (choice) pairs.push(['Chosen', choiceText(choice)]);
  if (choice?.kept === 'linear') pairs.push(['Requested', requestedText(choice)]);
  if (refitted !== null)
    pairs.push(['Retrained', `on ${refitted} rows, including the validation rows, after these metrics`]);
  return pairs;
}

/** The comparison that decided the choice: `the linear model: 98.5 % of 133 rows in 5 folds, with hidden layers 96.2 %`. */
function choiceText({ kept, folds, rows, network, linear }: NonNullable<TrainResult['choice']>): string {
  const shown = ({ accuracy, loss }: typeof linear) =>
    accuracy === null ? `loss ${loss.toPrecision(3)}` : percent(accuracy);
  const on = `on ${plural(rows, 'row')} ${folds === null ? 'of validation' : `in ${folds} folds`}`;
  return kept === 'linear'
    ? `linear model: ${shown(linear)} ${on}, with hidden layers ${shown(network)}`
    : `neural network: ${shown(network)} ${on}, linear model ${shown(linear)}`;
}

/** Why the requested network was not built, and how to build it. Only an mlp is compared with a linear model. */
function requestedText({ network, linear }: NonNullable<TrainResult['choice']>): string {
  const isBetter =
    linear.accuracy === null || network.accuracy === null
      ? linear.loss < network.loss
      : linear.accuracy > network.accuracy;
  const why = isBetter ? 'a linear model is better' : 'a linear model is as good, and simpler';
  return `mlp (model.kind), but ${why} on this small table; to force the mlp, use --kind mlp or set model.layers`;
}

function unitOf(split: string): 'window' | 'row' {
  return split === 'row' || split === 'group' ? 'row' : 'window';
}

function foldsTable(
  { folds, mean, pooled, by, method, together }: FoldsFile,
  unit: 'window' | 'row',
): string {
  const shown = folds.length <= 12 ? folds : [];
  const figures = (['accuracy', 'macroF1', 'rmse'] as const).filter((name) => pooled[name] !== null);
  // Rows without groups have no names to list, so that column is omitted.
  const named = shown.some(({ groups }) => groups.length > 0);
  const rows = shown.map((fold, f) => [
    f + 1,
    ...(named ? [fold.groups.length === 1 ? fold.groups[0]! : plural(fold.groups.length, by)] : []),
    fold.examples,
    ...figures.map((name) => (fold[name] === null ? null : score(fold[name]!))),
  ]);
  const each =
    rows.length > 0 ? `${table(['fold', ...(named ? [by] : []), 'examples', ...figures], rows)}\n\n` : '';
  const range = (interval: [number, number] | null) =>
    interval ? `, 95 % interval ${score(interval[0])} to ${score(interval[1])}` : '';
  const lines = figures.flatMap((name): [string, string][] => {
    const [over, all] = [mean[name], pooled[name]!];
    return [
      ...(over ? [[`${name}, mean`, `${score(over.mean)}${range(over.interval)}`] as [string, string]] : []),
      [`${name}, pooled`, `${score(all.value)}${range(all.interval)}`],
    ];
  });
  const untested = untestedText(folds);
  return `${each}${facts([
    ['All folds', foldsText(together, unit)],
    ...lines,
    ['Intervals', method],
    ...(untested === null ? [] : [['Labels', untested] as [string, string]]),
  ])}`;
}

/**
 * A remark on folds that lack a label, because a label has fewer recordings than there are folds. Null if there are none, and for folds
 * without a macro-F1, such as single recordings.
 */
function untestedText(folds: FoldsFile['folds']): string | null {
  const scored = folds.filter(({ macroF1 }) => macroF1 !== null);
  const labels = [...new Set(scored.flatMap(({ untested }) => untested))].map(
    (label) => `${label} in ${scored.filter(({ untested }) => untested.includes(label)).length}`,
  );
  if (labels.length === 0) return null;
  return `not tested: ${labels.join(', ')} of ${plural(folds.length, 'fold')}. The macro-F1 of these folds does not cover them; the pooled macro-F1 covers all labels`;
}

/** Candidates of a search: the Pareto front of score against arena and latency, and the recommended one. */
export function searchText(result: SearchFile): string {
  const { candidates, best, score: name } = result;
  const cost = `${result.chip}, µs`;
  const order = [...candidates.keys()].filter((i) => candidates[i]!.pareto || i === 0 || i === best);
  order.sort((a, b) => (candidates[a]!.arenaBytes ?? 0) - (candidates[b]!.arenaBytes ?? 0));
  const rows = order.map((i) => {
    const { kind, layers, features, window, ...own } = candidates[i]!;
    const set = Array.isArray(features) ? `${features.length} features` : features;
    const marks = [
      ...(i === best ? [green('best')] : []),
      ...(i === 0 ? ['aiot.yaml'] : []),
      ...(own.refused.length ? [red('rejected')] : []),
    ];
    return [
      `${kind} ${layers.join('-')}`,
      set,
      window,
      own.score === null ? null : score(own.score),
      own.interval ? `${score(own.interval[0])} to ${score(own.interval[1])}` : null,
      own.arenaBytes === null ? null : size(own.arenaBytes),
      own.latencyUs,
      marks.join(', ') || null,
    ];
  });
  const head = ['network', 'features', 'window', name, '95 % interval', 'arena', cost, ''];
  const refused = candidates.filter((each) => each.refused.length > 0).length;
  const tried = `${plural(candidates.length, 'candidate')} on ${result.folds} inner folds (never the test set) in ${result.seconds.toFixed(1)} s; ${refused} rejected; shown: candidates that no other beats in ${name}, arena and latency`;
  const proposal =
    best === null
      ? `${red('✗')} No candidate meets the limits of model.accept: ${candidates[0]!.refused.join('; ')}`
      : `In aiot.yaml:\n\n${result.yaml.map((line) => `  ${line}`).join('\n')}`;
  return `${table(head, rows)}\n${tried}\n\n${proposal}`;
}

/** Result of a quantization: size, noise, each activation, the attempted modes, and the loss of accuracy. */
export function quantizationText(result: QuantizeResult): string {
  const { layers, notes, emitted, inputs } = result;
  const lines = layers.every(({ scale }) => scale === null)
    ? ''
    : table(
        ['operator', 'tensor', 'type', 'range by', 'scale', 'zero', 'SQNR dB'],
        layers.map(({ op, tensor, type, calibration, scale, zeroPoint, sqnrDb }) => [
          op,
          shortened(tensor),
          type,
          calibration,
          scale === null ? null : scale.toPrecision(4),
          zeroPoint,
          sqnrDb === null ? null : sqnrDb.toFixed(1),
        ]),
      );
  const share = Math.round((100 * result.bytes) / result.floatBytes);
  const told: [string, string | number][] = [
    [
      'Model',
      `${result.model}: ${size(result.floatBytes)} float → ${size(result.bytes)} ${result.mode} (${share} %)`,
    ],
    ['Operators', operatorsOf(result)],
  ];
  // Trees are written unchanged: nothing is calibrated, and there is no noise.
  const isForest = result.ops.some(({ op }) => op === 'FOREST');
  if (result.windows > 0 && !isForest) told.push(['Calibrated', `on ${plural(result.windows, 'example')}`]);
  if (result.standardized && result.windows > 0)
    told.push(['Inputs', 'standardized with the mean and deviation stored in the model']);
  if (result.sqnrDb !== null && lines !== '' && !isForest)
    told.push(['Output', `${result.sqnrDb.toFixed(1)} dB signal to quantization noise`]);
  for (const [at, input] of inputs.entries()) {
    if (input === null) continue;
    const { scale, zeroPoint } = input;
    const title = inputs.length === 1 ? 'Input' : `Input ${at + 1}`;
    told.push([title, `${result.io}, scale ${scale.toPrecision(5)}, zero point ${zeroPoint}`]);
  }
  if (result.arenaBytes !== null) {
    told.push([
      'Arena',
      result.arenaBytes === 0
        ? '0 B: trees need no memory besides their tables'
        : `${size(result.arenaBytes)}: the smallest that works in TFLite Micro (64-bit), plus 3 %`,
    ]);
  }
  told.push(
    ...lossFacts(result),
    ['File', [result.file, ...emitted].map((file) => shownPath(file)).join(', ')],
    ...edgeTpuFacts(result),
  );
  const parts = [
    lines,
    stepsTable(result),
    facts(told),
    notes.map((note) => `${yellow('!')} ${note}`).join('\n'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function edgeTpuFacts({ edgetpu }: QuantizeResult): [string, string][] {
  if (edgetpu === undefined) return [];
  const listed = (on: boolean) =>
    edgetpu.ops
      .filter(({ onTpu }) => onTpu === on)
      .map(({ op, count }) => (count > 1 ? `${count} ${op}` : op));
  const left = listed(false);
  const where = `${listed(true).join(', ') || 'nothing'} on the TPU${left.length > 0 ? `; on the CPU ${left.join(', ')}` : ''}`;
  return [['Edge TPU', `${shownPath(edgetpu.file)} (${size(edgetpu.bytes)}): ${where}`]];
}

function lossFacts({ loss }: QuantizeResult): [string, string][] {
  if (loss === null) return [];
  const [low, high] = loss.interval;
  const limit = loss.limit === null ? '' : `, limit ${loss.limit}`;
  const doubt = loss.limit !== null && high > loss.limit ? '; the interval exceeds the limit' : '';
  const share = (value: number) => `${(100 * value).toFixed(2)} %`;
  return [
    [
      'Accuracy',
      `${share(loss.float)} float, ${share(loss.quantized)} quantized on ${loss.rows} rows${loss.calibrated ? ', also used for calibration; use --evaluate for other rows' : ''}`,
    ],
    ['Loss', `${loss.points} points (95 % interval ${low} to ${high}${limit})${doubt}`],
  ];
}

function stepsTable({ steps }: QuantizeResult): string {
  if (steps.length < 2) return '';
  return table(
    ['tried', 'loss (points)', '95 % interval', 'SQNR dB'],
    steps.map(({ did, points, interval, sqnrDb }) => [
      did,
      points,
      `${interval[0]} to ${interval[1]}`,
      sqnrDb,
    ]),
  );
}

/** The operators of a model, such as `4 × FULLY_CONNECTED v4, LOGISTIC v2`. */
function operatorsOf({ ops }: QuantizeResult): string {
  const counts = new Map<string, number>();
  for (const { op, version } of ops)
    counts.set(`${op} v${version}`, (counts.get(`${op} v${version}`) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count === 1 ? name : `${count} × ${name}`)).join(', ');
}

/** Shortens a name at its beginning. Names from converters are long paths, and their last part is the most informative one. */
function shortened(name: string): string {
  return name.length > 32 ? `…${name.slice(-31)}` : name;
}
