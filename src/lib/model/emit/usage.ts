import type { BundleInfo, End, RejectSpec } from '../bundle/types.js';
import { cText } from './c-text.js';
import { indent, table } from './piece.js';

/** How a project computes the inputs of its model, and what it predicts from the outputs. */
export type Usage = Pick<BundleInfo, 'signal' | 'standardization' | 'answer' | 'classes' | 'vote' | 'state'>;

/** A part of generated C code beside the model itself. */
export interface UsagePart {
  /** For the header. */
  declarations: string[];
  /** For the source, in this order. */
  definitions: string[];
  /** Statements of `model_reset`. */
  resets: string[];
  /** Bytes of static memory. */
  bytes: number;
}

/** The declarations of several parts, each after an empty line. */
export function declarationsText(parts: readonly UsagePart[]): string {
  return parts.flatMap(({ declarations }) => declarations.map((text) => `\n${text}\n`)).join('');
}

/** A double literal that parses back to the same number. */
export function cDouble(value: number): string {
  const digits = String(value);
  return /[.e]/.test(digits) ? digits : `${digits}.0`;
}

function doubles(name: string, values: readonly number[]): string {
  return table('double', name, values);
}

/** The shortest period of a list of pairs; the list's length if nothing repeats. */
function periodOf(first: readonly number[], second: readonly number[]): number {
  const { length } = first;
  const repeats = (period: number) =>
    length % period === 0 &&
    first.every((value, i) => value === first[i % period] && second[i] === second[i % period]);
  for (let period = 1; period < length; period++) if (repeats(period)) return period;
  return length;
}

/** C functions that standardize features, as `encodeInput` does; null if the features are the inputs. */
export function encodingPart({ standardization }: Usage, input: End, cType: string): UsagePart | null {
  const { mean, deviation } = standardization;
  const isPlain = mean.every((value) => value === 0) && deviation.every((value) => value === 1);
  if (isPlain && input.type === 'float32') return null;
  return {
    declarations: [
      `/* Turns the features of a window, in the project's order, into the input of model_run. They must be finite. */
void model_encode(const float *features, ${cType} *input);`,
    ],
    definitions: [standardText(mean, deviation), encodeText(input, cType)],
    resets: [],
    bytes: 0,
  };
}

/** Means and deviations repeat, for example with the bands of each frame. */
function standardText(mean: readonly number[], deviation: readonly number[]): string {
  const period = periodOf(mean, deviation);
  const at = period === mean.length ? 'i' : period === 1 ? '0' : `i % ${period}`;
  return `${doubles('feature_means', mean.slice(0, period))}
${doubles('feature_deviations', deviation.slice(0, period))}

/* Feature i, standardized. */
static inline double standard_feature(const float *features, int i) {
  return ((double)features[i] - feature_means[${at}]) / feature_deviations[${at}];
}`;
}

function encodeText({ type, scale, zeroPoint }: End, cType: string): string {
  const head = `void model_encode(const float *features, ${cType} *input) {`;
  if (type === 'float32')
    return `${head}
  for (int i = 0; i < MODEL_INPUT_COUNT; i++) input[i] = (float)standard_feature(features, i);
}`;
  const [low, high] = type === 'int8' ? [-128, 127] : [-32768, 32767];
  return `${head}
  for (int i = 0; i < MODEL_INPUT_COUNT; i++) {
    const double x = standard_feature(features, i) / ${cDouble(scale)};
    if (!(x > ${cDouble(low - zeroPoint)})) {
      input[i] = ${low};
    } else if (x >= ${cDouble(high - zeroPoint)}) {
      input[i] = ${high};
    } else {
      const int32_t whole = (int32_t)x;
      const double rest = x - whole;
      const int32_t rounded = rest >= 0.5 ? whole + 1 : rest <= -0.5 ? whole - 1 : whole;
      input[i] = (${cType})(rounded + (${zeroPoint}));
    }
  }
}`;
}

/** The outputs that a decision uses. */
export interface Outputs {
  end: End;
  /** C type of the model's output. */
  cType: string;
  /** Body of a C function that computes `scores` from `output`, if this takes more than a scale. */
  scores?: string;
  /** Whether C code defines `standard_feature`. */
  standardizes: boolean;
}

/** Number of outputs that a decision depends on. Others follow them. */
function scoreCount({ answer, classes, standardization }: Usage): number {
  if (answer.kind === 'classes') return classes.length;
  return answer.kind === 'reconstruction' ? standardization.mean.length : 1;
}

/** C functions that decide as `createPredictor` does; null if the model predicts values or objects. */
export function decisionPart(usage: Usage, outputs: Outputs): UsagePart | null {
  const { answer, classes, vote } = usage;
  if (answer.kind === 'value' || answer.kind === 'objects') return null;
  const reject = answer.kind === 'classes' ? answer.reject : undefined;
  const uses = answer.kind === 'reconstruction' || (reject !== undefined && reject.radius.length > 0);
  const parameters = `const ${outputs.cType} *output${uses ? ', const float *features' : ''}`;
  const given = `output${uses ? ', features' : ''}`;
  const rule = { classes: classesText, probability: probabilityText, reconstruction: errorText }[answer.kind];
  const { tables, single, mean, width } = rule(usage, outputs);
  const smoothing = smoothingOf(vote, { parameters, given, width, mean });
  const about = uses ? ' `features` are those of the window, before model_encode.' : '';
  const names = classes.length === 0 ? '' : ': an index in model_class_names';
  return {
    declarations: [
      ...(reject === undefined
        ? []
        : [
            `/* The prediction for windows that model.reject rejects. */
#define MODEL_REJECTED ${classes.length}
#define MODEL_REJECTED_NAME "${cText(reject.label)}"`,
          ]),
      `/* The prediction for a window's output${names}${reject ? ', or MODEL_REJECTED' : ''}.${about} */
int model_decide(${parameters});`,
      ...smoothing.declarations,
    ],
    definitions: [
      ...tables,
      `/* The prediction, and the numbers of which smoothing takes the mean. */
static int judge(${parameters}, double *judged) {
${indent(single)}
}`,
      `int model_decide(${parameters}) {\n  double judged[${width}];\n  return judge(${given}, judged);\n}`,
      ...smoothing.definitions,
    ],
    resets: smoothing.resets,
    bytes: smoothing.bytes,
  };
}

/** C code of a kind of prediction. */
interface Rule {
  /** Tables and functions. */
  tables: string[];
  /** Body of a function that decides on `output`, and fills `judged`. */
  single: string;
  /** Statements that return the decision on the means, `mean`. */
  mean: string;
  /** Number of values in `judged`. */
  width: number;
}

function scoresText(usage: Usage, { end, cType, scores }: Outputs): string {
  const { scale, zeroPoint, type } = end;
  const one = type === 'float32' ? '(double)output[i]' : `${cDouble(scale)} * (output[i] - (${zeroPoint}))`;
  const body = scores ?? `for (int i = 0; i < ${scoreCount(usage)}; i++) scores[i] = ${one};`;
  return `/* The outputs as real values. */
static void real_scores(const ${cType} *output, double *scores) {
${indent(body)}
}`;
}

function probabilityText(usage: Usage, outputs: Outputs): Rule {
  const { answer } = usage;
  const threshold = cDouble(answer.kind === 'probability' ? answer.threshold : 0);
  return {
    tables: [
      `/* The smallest probability that predicts the second class. */
static const double least_probability = ${threshold};`,
      scoresText(usage, outputs),
    ],
    single: `real_scores(output, judged);
return judged[0] >= least_probability;`,
    mean: 'return mean[0] >= least_probability;',
    width: 1,
  };
}

function errorText(usage: Usage, outputs: Outputs): Rule {
  const { answer } = usage;
  const count = scoreCount(usage);
  const one = outputs.standardizes ? 'standard_feature(features, i)' : '(double)features[i]';
  return {
    tables: [
      `/* Larger errors predict the second class. */
static const double most_error = ${cDouble(answer.kind === 'reconstruction' ? answer.threshold : 0)};`,
      scoresText(usage, outputs),
    ],
    single: `double scores[${count}], sum = 0;
real_scores(output, scores);
for (int i = 0; i < ${count}; i++) {
  const double distance = scores[i] - ${one};
  sum += distance * distance;
}
judged[0] = sum / ${count};
return judged[0] > most_error;`,
    mean: 'return mean[0] > most_error;',
    width: 1,
  };
}

function classesText(usage: Usage, outputs: Outputs): Rule {
  const { answer, classes } = usage;
  const { costs, reject } = answer.kind === 'classes' ? answer : {};
  const count = classes.length;
  const tables = [
    scoresText(usage, outputs),
    costs === undefined ? bestText(count) : cheapestText(costs, count),
    ...(reject === undefined ? [] : rejectTexts(reject, count, outputs)),
  ];
  if (reject === undefined)
    return {
      tables,
      single: 'real_scores(output, judged);\nreturn best_class(judged);',
      mean: 'return best_class(mean);',
      width: count,
    };
  const far =
    reject.radius.length === 0
      ? ''
      : `
if (!is_far(best, features)) return best;
/* A window far from its class supports only the rejection. */
for (int i = 0; i < ${count}; i++) judged[i] = 0;
judged[${count}] = 1;
return MODEL_REJECTED;`;
  return {
    tables,
    single: `real_scores(output, judged);
judged[${count}] = 0;
const int best = best_class(judged);
if (judged[best] < least_scores[best]) return MODEL_REJECTED;${far === '' ? '\nreturn best;' : far}`,
    mean: `const int best = best_class(mean);
return mean[${count}] > mean[best] || mean[best] < least_scores[best] ? MODEL_REJECTED : best;`,
    width: count + 1,
  };
}

function bestText(count: number): string {
  return `/* The class with the largest output; the first of several. */
static int best_class(const double *scores) {
  int best = 0;
  for (int i = 1; i < ${count}; i++)
    if (scores[i] > scores[best]) best = i;
  return best;
}`;
}

function cheapestText(costs: readonly number[], count: number): string {
  return `/* model.costs: [true class x predicted class] */
${doubles('costs', costs)}

/* The class with the smallest expected cost; the first of several. */
static int best_class(const double *scores) {
  int best = 0;
  double least = 0;
  for (int i = 0; i < ${count}; i++) {
    double sum = 0;
    for (int c = 0; c < ${count}; c++) sum += scores[c] * costs[c * ${count} + i];
    if (i > 0 && !(sum < least)) continue;
    best = i;
    least = sum;
  }
  return best;
}`;
}

function rejectTexts(
  { minimum, radius, center, weight }: RejectSpec,
  count: number,
  { standardizes }: Outputs,
): string[] {
  const least = `/* Minimum output of each class. */\n${doubles('least_scores', minimum.slice(0, count))}`;
  if (radius.length === 0) return [least];
  const inputs = weight.length;
  const one = standardizes ? 'standard_feature(features, i)' : '(double)features[i]';
  return [
    least,
    `/* Maximum distance from each class, centers of the classes, and the inputs' weights in the distance. */
${doubles('radii', radius)}
${doubles('centers', center)}
${doubles('input_weights', weight)}

static int is_far(int best, const float *features) {
  double sum = 0;
  for (int i = 0; i < ${inputs}; i++) {
    const double distance = (${one} - centers[best * ${inputs} + i]) * input_weights[i];
    sum += distance * distance;
  }
  return sum / ${inputs} > radii[best];
}`,
  ];
}

interface Smoothed {
  parameters: string;
  given: string;
  width: number;
  mean: string;
}

const nothing: UsagePart = { declarations: [], definitions: [], resets: [], bytes: 0 };

/** The function for model.vote, like `createVote`. */
function smoothingOf(vote: string, { parameters, given, width, mean }: Smoothed): UsagePart {
  const [kind, text] = vote.split(':');
  const size = Number(text);
  if (kind === 'none') return nothing;
  const about =
    kind === 'average'
      ? `the mean of the last ${size} outputs`
      : `the most frequent of the last ${size} predictions`;
  const declarations = [
    `/* The prediction after smoothing: ${about}. Call it once for each window, in order. */
int model_vote(${parameters});`,
  ];
  const resets = ['recent_count = 0;'];
  if (kind === 'majority')
    return {
      declarations,
      resets,
      bytes: 4 * (size + 1),
      definitions: [
        `static int recent[${size}], recent_count;

int model_vote(${parameters}) {
  if (recent_count == ${size}) memmove(recent, recent + 1, sizeof recent - sizeof *recent);
  else recent_count++;
  const int last = recent_count - 1;
  recent[last] = model_decide(${given});
  int best = recent[last], most = 0;
  /* An older prediction must be more frequent to win. */
  for (int i = last; i >= 0; i--) {
    int same = 0;
    for (int k = 0; k <= last; k++) same += recent[k] == recent[i];
    if (same <= most) continue;
    most = same;
    best = recent[i];
  }
  return best;
}`,
      ],
    };
  return {
    declarations,
    resets,
    bytes: 8 * size * width + 4,
    definitions: [
      `static double recent[${size}][${width}];
static int recent_count;

int model_vote(${parameters}) {
  double mean[${width}] = {0};
  if (recent_count == ${size}) memmove(recent, recent + 1, sizeof recent - sizeof *recent);
  else recent_count++;
  judge(${given}, recent[recent_count - 1]);
  for (int k = 0; k < recent_count; k++)
    for (int i = 0; i < ${width}; i++) mean[i] += recent[k][i];
  for (int i = 0; i < ${width}; i++) mean[i] /= recent_count;
${indent(mean)}
}`,
    ],
  };
}
