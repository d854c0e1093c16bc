import { seededRandom, shuffled } from '../../core/index.js';
import { fitLinear } from './fit/fit-linear.js';
import { fitNetwork } from './fit/fit-network.js';
import { classOf, rowLoss } from './fit/loss.js';
import { classFactors, hasClasses } from './fit/part.js';
import { fitLesson, type LessonOptions, partOf, someOf } from './fit-lesson.js';
import { rowsOf, sameRows } from './rows/units.js';
import type { Lesson } from './types.js';

/** How one of the two does on rows that it has not learned from; classes count by model.train.classWeights. */
export interface ChoiceFigures {
  /** null of values. */
  accuracy: number | null;
  /** Mean loss as training has it. */
  loss: number;
}

/** Which of the two was kept, and by which figures. */
export interface Choice {
  kept: 'network' | 'linear';
  /** How many folds; null = by the validation part. */
  folds: number | null;
  /** Rows that the figures are of. */
  rows: number;
  /** Standard error of the difference between the two, of the accuracy, or of values of the loss. */
  standardError: number;
  network: ChoiceFigures;
  linear: ChoiceFigures;
}

const foldsOfRows = 5;
/** Above this, the validation part is large enough to tell the two models apart. */
const mostRows = 1000;
/** Rows learned from in one fold, an epoch each time: a second or so. */
const mostLearned = 500_000;

/**
 * Whether a linear model predicts unseen rows of a small table as well as the network, as it often does with a few hundred rows
 * (measured: docs/project.md). By 5 folds of all rows but those of the test part, equal rows together and class by class, or by the
 * validation part. The network is kept where it is better by more than one standard error, row against row (Breiman et al. 1984).
 * @param rows those of the training part, and behind them those of the validation part; they stay as they are
 * @param epochs of the network
 * @returns null when `signal` stopped it
 */
export async function choose(
  rows: Lesson,
  training: number,
  epochs: number,
  options: Pick<LessonOptions, 'plan' | 'train' | 'backend' | 'signal'>,
): Promise<Choice | null> {
  const { plan, backend, signal } = options;
  const count = rows.classes.length;
  const byFolds = plan.linear === 'folds' && count <= mostRows && count * epochs <= mostLearned;
  const all = Array.from({ length: count }, (_, row) => row);
  const asked = byFolds ? dealt(rows, options.train.seed) : [all.slice(training)];
  const train = { ...options.train, epochs, patience: undefined };
  const factors = classFactors(rows.classes, plan.network, train.classWeights);
  const tried = async (fit: typeof fitNetwork): Promise<Tried | null> => {
    const costs: number[] = [];
    let loss = 0;
    for (const own of asked) {
      if (signal?.aborted) return null;
      const held = new Set(own);
      const others = all.filter((row) => !held.has(row));
      const options = { plan, train, backend, signal };
      const learned = await fitLesson(someOf(rows, others), null, options, fit);
      const { fitted, standardization, target } = learned;
      const part = partOf(someOf(rows, own), standardization, target);
      const outputs = fitted.forward(part.inputs, own.length);
      fitted.dispose();
      if (fitted.interrupted) return null;
      const width = outputs.length / own.length;
      for (let row = 0; row < own.length; row++) {
        const said = outputs.subarray(row * width, (row + 1) * width);
        const factor = factors?.[part.classes[row]!] ?? 1;
        const lost = rowLoss(said, plan.network, part, row);
        const wrong = classOf(said, plan.network) === part.classes[row] ? 0 : 1;
        costs.push(factor * (classes ? wrong : lost));
        loss += factor * lost;
      }
    }
    return { costs, loss: loss / costs.length };
  };
  const classes = hasClasses(plan.network.output.kind);
  const network = await tried(fitNetwork);
  const linear = network && (await tried(fitLinear));
  if (!linear) return null;
  const differences = linear.costs.map((cost, i) => cost - network.costs[i]!);
  const n = differences.length;
  const lead = mean(differences);
  const standardError = Math.sqrt(mean(differences.map((each) => (each - lead) ** 2)) / n);
  const figuresOf = ({ costs, loss }: Tried) => ({ accuracy: classes ? 1 - mean(costs) : null, loss });
  return {
    kept: lead > standardError ? 'network' : 'linear',
    folds: byFolds ? foldsOfRows : null,
    rows: n,
    standardError,
    network: figuresOf(network),
    linear: figuresOf(linear),
  };
}

/** What each row costs: being wrong, by its class's weight; of values the squared error. */
interface Tried {
  costs: number[];
  loss: number;
}

function mean(of: readonly number[]): number {
  return of.reduce((sum, each) => sum + each, 0) / of.length;
}

/** Rows fold by fold: equal ones together, and of each class about as many. */
function dealt({ inputs, inputSize, classes }: Lesson, seed: number): number[][] {
  const folds = Array.from({ length: foldsOfRows }, (): number[] => []);
  const units = shuffled(rowsOf(sameRows(inputs, inputSize)), seededRandom(seed));
  units.sort((a, b) => classes[a[0]!]! - classes[b[0]!]!);
  units.forEach((unit, i) => {
    folds[i % foldsOfRows]!.push(...unit);
  });
  return folds.filter((own) => own.length > 0 && own.length < classes.length);
}
