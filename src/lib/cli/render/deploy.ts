import { plural, size } from '../../core/figures.js';
import type { Applied } from '../../deploy/apply.js';
import type { CheckedDeployment } from '../../deploy/check/check.js';
import type { DeployDiff } from '../../deploy/diff.js';
import type { Rendered } from '../../deploy/render.js';
import type { DeployStatus } from '../../deploy/status.js';
import { bold, dim, green, red, table, yellow } from './text.js';

const marks = { error: () => red('✗'), warning: () => yellow('!') };

/** One line per finding: place, problem and reason. */
export function checkedDeploymentText({ dir, files, objects, findings, ok }: CheckedDeployment): string {
  const looked = dim(`${plural(files, 'file')}, ${plural(objects, 'object')} in ${dir}`);
  if (findings.length === 0) return `${green('✓')} no problems found\n${looked}`;
  const lines = findings.map(
    ({ level, rule, file, line, object, message }) =>
      `${marks[level]()} ${bold(`${file}:${line}`)} ${object}: ${message} ${dim(`(${rule})`)}`,
  );
  return `${lines.join('\n')}\n${ok ? `${green('✓')} no errors` : red('errors found')}, ${looked}`;
}

/** Differences between a folder and its rendered files, in the notation of diff. */
export function deployDiffText({ dir, targets, same, files }: DeployDiff): string {
  if (same) return `${bold(targets.join(', '))} in ${dir} is up to date`;
  const told = {
    created: 'would be created',
    changed: 'would change',
    edited: 'was edited by hand',
    left: 'is from an earlier rendering',
    unchanged: '',
  };
  return files
    .map(
      ({ path, did, diff }) =>
        `${bold(path)} ${yellow(told[did])}\n${diff.split('\n').map(painted).join('\n')}`,
    )
    .join('\n');
}

function painted(line: string): string {
  if (line.startsWith('+')) return green(line);
  if (line.startsWith('-')) return red(line);
  return line.startsWith('@@') ? dim(line) : line;
}

/** The commands that were run or, with --dry-run, would be run. */
export function appliedText({ target, dir, applied, steps }: Applied): string {
  const title = `${bold(target)} in ${dir}${applied ? ` ${green('is applied')}` : '; apply it with:'}`;
  return `${title}\n${table(
    ['COMMAND', 'FOR'],
    steps.map(({ command, about }) => [command.join(' '), about]),
  )}`;
}

const paints = { ready: green, waiting: yellow, failing: red };

/** State of an installation, one row per component. */
export function deployStatusText({ target, dir, parts }: DeployStatus): string {
  const title = `${bold(target)} of ${dir}`;
  if (parts.length === 0) return `${title}\n${yellow('not deployed')}`;
  const rows = parts.map(({ kind, name, state, ready, wanted, reason }) => [
    name,
    kind,
    paints[state](state),
    `${ready}/${wanted}`,
    reason ?? '',
  ]);
  return `${title}\n${table(['NAME', 'KIND', '', 'READY', ''], rows)}`;
}

const filePaints = { created: green, changed: green, unchanged: dim, edited: yellow, left: yellow };

/** The files of an installation, and the outcome for each. */
export function renderedText({ target, dir, dryRun, files }: Rendered): string {
  const title = `${dryRun ? 'Would render' : 'Rendered'} ${bold(target)} to ${dir}`;
  const rows = files.map(({ path, did, bytes, about }) => [path, filePaints[did](did), size(bytes), about]);
  return `${title}\n${table(['FILE', '', 'SIZE', 'FOR'], rows)}`;
}
