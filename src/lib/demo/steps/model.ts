import { hasCode } from '../../core/index.js';
import {
  classifierFigures,
  evaluateProject,
  gateError,
  pushModel,
  quantizeProject,
  trainProject,
} from '../../model/index.js';
import { score } from '../text.js';
import type { DemoStep, DemoWork } from '../work.js';

export function trainStep(work: DemoWork): DemoStep {
  return {
    title: 'Train, and cross-validate by recording in 5 folds',
    run: async (report, signal) => {
      const train = (folds?: { folds: number }) =>
        trainProject({
          ...{ project: work.project, dataset: work.dataset, folds, signal },
          onStep: report,
          onEpoch: ({ epoch, epochs, loss, valAccuracy }) => {
            report(
              `epoch ${epoch}/${epochs}  loss ${score(loss)}  validation accuracy ${score(valAccuracy ?? 0)}`,
            );
          },
        });
      // Few recordings of one's own can still be trained on.
      work.trained = await train({ folds: 5 }).catch((error: unknown) => {
        if (!hasCode(error, 'AIOT_DATA_TOO_FEW')) throw error;
        return train();
      });
      const { epochs, folds } = work.trained;
      const { macroF1, voted } = folds?.together ?? { macroF1: null, voted: null };
      return macroF1 === null
        ? `${epochs} epochs; too few recordings for folds`
        : `${epochs} epochs; folds: macro-F1 ${score(macroF1)}, ${score(voted?.macroF1 ?? macroF1)} after the vote`;
    },
  };
}

export function quantizeStep(work: DemoWork): DemoStep {
  return {
    title: 'Quantize to int8 and evaluate on held-out recordings',
    run: async (report, signal) => {
      work.quantized = await quantizeProject({ project: work.project, dataset: work.dataset, signal });
      report('quantized');
      work.evaluated = await evaluateProject({ project: work.project, dataset: work.dataset, signal });
      // Below the project's gates nothing is pushed.
      const refused = gateError(work.evaluated.gates);
      if (refused) throw refused;
      const { float, int8, voted } = classifierFigures(work.evaluated);
      return `macro-F1: float ${score(float.macroF1)}, int8 ${score(int8.macroF1)}, ${score(voted.macroF1)} after the vote`;
    },
  };
}

export function pushStep(work: DemoWork): DemoStep {
  return {
    title: 'Bundle the model, sign it and push it',
    run: async () => {
      const { project, client, operatorKey } = work;
      work.pushed = await pushModel({ project, client, privatePem: operatorKey });
      const { name, version, digest } = work.pushed;
      return `${name}@${version}, ${digest.slice(0, 19)}…`;
    },
  };
}
