import { join } from 'node:path';
import {
  AiotCommand,
  again,
  bold,
  dim,
  evaluationText,
  next,
  shared,
  shellWord,
  yellow,
} from '../../lib/cli/index.js';
import { loadProject } from '../../lib/core/index.js';
import { evaluateProject, evaluateResultSchema, gateError, writeReport } from '../../lib/model/index.js';

export default class ModelEvaluate extends AiotCommand {
  static override summary = 'Measure the model on recordings that it was never trained on.';
  static override description =
    'Float and int8, by window and after the vote; int8 with the interpreter that devices use, and with LiteRT beside it. Below a limit of model.accept it exits with 6, after the figures.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
    '<%= config.bin %> <%= command.id %> --report report.html',
  ];
  static override flags = { project: shared.project, data: shared.data, report: shared.report };
  static override result = evaluateResultSchema;

  async run() {
    const input = await this.input(ModelEvaluate);
    const { flags } = input;
    const at = again(input, 'project', 'data');
    const project = await loadProject(flags.project);
    const result = await evaluateProject({ project, data: flags.data, signal: this.signal });
    if (flags.report) await writeReport({ file: flags.report, project });
    this.print(`${bold(result.model)}\n${evaluationText(result)}`);
    for (const warning of result.warnings) this.print(`${yellow('!')} ${warning}`);
    if (flags.report) this.print(dim(`Report: ${flags.report}`));
    const refusal = gateError(result.gates);
    // For people the refusal comes as an error after the figures; in JSON it stands in the result.
    if (refusal && !this.jsonEnabled()) throw refusal;
    if (refusal) this.exitsWith(6);
    const file = shellWord(join(flags.project, 'build', 'model.int8.tflite'));
    this.print(next(`aiot model push${at}`, `aiot model inspect ${file}`));
    return result;
  }
}
