import { refuseInputs, thousands, writeFileAtomic } from '../../core/index.js';
import { html, reportPage } from '../../formats/index.js';
import { explanation } from './explanation.js';
import { calibration, confusions, perClass, tiles } from './figures.js';
import { foldSection } from './folds.js';
import { gatherReport, type ReportData } from './gather.js';
import { curves, findings, gates, lineage } from './sections.js';
import type { ReportOptions } from './types.js';
import { worst } from './worst.js';

/**
 * Writes what is known of a project's model as one HTML file that loads nothing from elsewhere: figures, gates, training
 * curves, folds, confusion, classes, calibration, the worst windows, what it looks at, findings, lineage. What has not been measured yet is left out.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function writeReport(options: ReportOptions): Promise<void> {
  await refuseInputs([options.file], [options.project.file]);
  await writeFileAtomic(options.file, projectPage(await gatherReport(options)));
}

function projectPage(data: ReportData): string {
  const { training, evaluation, folds } = data;
  const title = [training.model, ...(training.classes.length > 0 ? [training.classes.join(', ')] : [])].join(
    ': ',
  );
  const made = new Date(training.lineage.created).toISOString().slice(0, 16).replace('T', ' ');
  const { dataset } = training.lineage;
  const table = training.source.kind === 'table';
  const on = table ? `${thousands(dataset.samples)} rows` : `${dataset.recordings} recordings`;
  const what = table ? 'rows' : `${training.split.test.length} recordings`;
  const held = evaluation
    ? ` Figures are of ${what} that it was never trained on.`
    : ` It has not been evaluated on held-out ${table ? 'rows' : 'recordings'} yet.`;
  return reportPage({
    title,
    lead: `Trained on ${on}, ${made} UTC.${held}`,
    // The first thing to know: what follows flatters.
    first: training.leaks.map((text) => html`<p class="bad"><b>Leaking split:</b> ${text}</p>`),
    sections: [
      tiles(data),
      gates(evaluation?.gates ?? []),
      curves(data),
      foldSection(folds, table ? 'row' : 'window'),
      confusions(data),
      perClass(data),
      calibration(data),
      worst(data),
      explanation(data),
      findings(data),
      lineage(data),
    ],
    aiot: training.lineage.aiot,
  });
}
