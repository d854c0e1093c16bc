import { AiotError, refuseInputs, writeFileAtomic } from '../../core/index.js';
import type { Emit } from '../emit/emit.js';
import type { QuantizeDetail } from './detail.js';
import { compileEdgeTpu, requireCompiler } from './edgetpu.js';
import { quantizeFile } from './quantize-file.js';
import type { QuantizeOptions } from './quantize-project.js';
import type { QuantizeResult } from './result.js';
import type { SearchOptions } from './search.js';

export interface QuantizeModelOptions extends Omit<Partial<SearchOptions>, 'maxLoss' | 'onFound'> {
  /** A float .tflite file; without it the project's own network. */
  file?: string | undefined;
  project: string;
  data?: string | undefined;
  label?: string | undefined;
  /** Names of the classes in the order of the outputs of `file`, between commas. */
  classes?: string | undefined;
  /** Labelled rows that the loss of `file` is measured on, instead of those of `data`. */
  evaluate?: string | undefined;
  out?: string | undefined;
  emit?: Emit | undefined;
  maxLoss?: number | undefined;
  /** HTML file to write, of what each tensor lost. */
  report?: string | undefined;
  /** Compile the file for it, too. */
  target?: (typeof targets)[number] | undefined;
}

/** Accelerators whose compilers are called. */
export const targets = ['edgetpu'] as const;

/**
 * `aiot model quantize`: a file by itself, or the network of a project.
 * @throws AIOT_USAGE for what goes with a file alone; AIOT_PROGRAM_NOT_FOUND and AIOT_EDGETPU_FAILED (`target`); what quantizeFile and
 *   quantizeProject throw; AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE (`report`)
 */
export async function quantizeModel(options: QuantizeModelOptions): Promise<QuantizeResult> {
  if (options.target === undefined) return await quantizeAndTell(options);
  // Before the long work: without the compiler it would be for nothing.
  const compiler = await requireCompiler();
  const result = await quantizeAndTell(options);
  options.onStep?.('compiling for the Edge TPU');
  return { ...result, edgetpu: await compileEdgeTpu(result.file, { compiler, signal: options.signal }) };
}

async function quantizeAndTell(options: QuantizeModelOptions): Promise<QuantizeResult> {
  const { report, file, data, evaluate } = options;
  if (report === undefined) return await quantizeAsked(options);
  await refuseInputs([report], [file, data, evaluate]);
  const found: { detail: QuantizeDetail | null } = { detail: null };
  const [{ detailOf }, { quantizePage }] = await Promise.all([import('./detail.js'), import('./page.js')]);
  const result = await quantizeAsked({
    ...options,
    onFound: (compared, rows) => {
      if (rows.length > 0) found.detail = detailOf(compared, rows);
    },
  });
  await writeFileAtomic(report, quantizePage(result, found.detail));
  return result;
}

type Asked = QuantizeModelOptions & Pick<SearchOptions, 'onFound'>;

async function quantizeAsked(options: Asked): Promise<QuantizeResult> {
  const { file, project, maxLoss = null, finetune = 0, mode = 'int8' } = options;
  const classes = options.classes?.split(',');
  if (file !== undefined) return await quantizeFile({ ...options, file, mode, maxLoss, finetune, classes });
  for (const name of ['classes', 'evaluate'] as const)
    if (options[name] !== undefined)
      throw new AiotError('AIOT_USAGE', `--${name} goes with a file, and none is given`, {
        next: `A project has its own classes and validation part; of a file: aiot model quantize FILE.tflite --data rows.csv --${name} …`,
      });
  // A project brings recordings and their signal part with it: a file by itself starts without them.
  const [{ quantizeProject }, { openModelProject }] = await Promise.all([
    import('./quantize-project.js'),
    import('../material.js'),
  ]);
  const { file: _file, classes: _classes, evaluate: _evaluate, ...rest } = options;
  const opened = await openModelProject(project, options.data);
  return await quantizeProject({ ...rest, project: opened } as QuantizeOptions);
}
