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
    title: 'Train, split by recording',
    run: async (report, signal) => {
      work.trained = await trainProject({
        project: work.project,
        dataset: work.dataset,
        signal,
        onEpoch: ({ epoch, epochs, loss, valAccuracy }) => {
          report(
            `epoch ${epoch}/${epochs}  loss ${score(loss)}  validation accuracy ${score(valAccuracy ?? 0)}`,
          );
        },
      });
      return `${work.trained.epochs} epochs in ${work.trained.seconds.toFixed(1)} s`;
    },
  };
}

export function quantizeStep(work: DemoWork): DemoStep {
  return {
    title: 'Quantize to int8, evaluate on held-out recordings',
    run: async (report, signal) => {
      work.quantized = await quantizeProject({ project: work.project, dataset: work.dataset, signal });
      report('quantized');
      work.evaluated = await evaluateProject({ project: work.project, dataset: work.dataset, signal });
      // Below the project's gates nothing is pushed.
      const refused = gateError(work.evaluated.gates);
      if (refused) throw refused;
      const { float, int8, voted } = classifierFigures(work.evaluated);
      return `macro-F1 float ${score(float.macroF1)}, int8 ${score(int8.macroF1)}, voted ${score(voted.macroF1)}`;
    },
  };
}

export function pushStep(work: DemoWork): DemoStep {
  return {
    title: 'Bundle, sign and push',
    run: async () => {
      const { project, client, operatorKey } = work;
      work.pushed = await pushModel({ project, client, privatePem: operatorKey });
      const { name, version, digest } = work.pushed;
      return `${name}@${version}, ${digest.slice(0, 19)}…`;
    },
  };
}
