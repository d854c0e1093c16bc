import type { RegistryClient } from '../api/client.js';
import { type AlarmsApplied, type NewAlarm, newAlarmSchema } from '../api/contract/alarms.js';
import { AiotError } from '../core/errors.js';
import { problemsOf } from '../core/issues.js';
import { loadProject, type Project } from '../core/project.js';
import { parseDuration } from '../core/time.js';
import { parseSelector } from '../fleet/selector.js';
import { compileExpression } from '../stream/decode/expression.js';

/** The alarms in a project's aiot.yaml, as the platform defines alarms. @throws AIOT_PROJECT_INVALID */
export function alarmsOf({ config, file }: Project): NewAlarm[] {
  const ms = (text: string | undefined) => (text === undefined ? undefined : parseDuration(text));
  return Object.entries(config.alarms ?? {}).map(([name, alarm]) => {
    const { absent, for: held, clearFor, within, ...own } = alarm;
    const wanted = {
      ...own,
      name,
      absentMs: ms(absent),
      forMs: ms(held),
      clearForMs: ms(clearFor),
      withinMs: ms(within),
    };
    const invalid = (field: string, message: string) =>
      new AiotError('AIOT_PROJECT_INVALID', `${file}: alarms.${name}${field}: ${message}`);
    const checked = newAlarmSchema.safeParse(wanted);
    if (!checked.success) {
      const [problem] = problemsOf(checked.error, { value: wanted });
      const [place] = problem?.path ?? [];
      const field = { absentMs: '.absent', forMs: '.for', clearForMs: '.clearFor', withinMs: '.within' }[
        String(place)
      ];
      throw invalid(
        field ?? '',
        field ? `expected ${place === 'withinMs' ? '1s to 7d' : '1s to 90d'}` : (problem?.message ?? ''),
      );
    }
    const check = (field: string, task: () => unknown) => {
      try {
        task();
      } catch (error) {
        throw error instanceof AiotError ? invalid(`.${field}`, error.message) : error;
      }
    };
    const { where, clear, selector } = own;
    if (where !== undefined) check('where', () => compileExpression(where));
    if (clear !== undefined) check('clear', () => compileExpression(clear));
    check('selector', () => parseSelector(selector, 0));
    return checked.data;
  });
}

/**
 * Makes the platform's alarms of a project equal to those in its aiot.yaml.
 * @param confirmed asks the user before alarms are removed with their incidents; not called with `dryRun`
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_ALREADY_EXISTS (an alarm of another project)
 */
export async function applyProjectAlarms(
  { alarms }: Pick<RegistryClient, 'alarms'>,
  options: { project: string; dryRun: boolean; confirmed: (planned: AlarmsApplied) => Promise<void> },
): Promise<AlarmsApplied> {
  const project = await loadProject(options.project);
  const wanted = { project: project.config.name, alarms: alarmsOf(project) };
  const planned = await alarms.apply({ ...wanted, dryRun: true });
  if (options.dryRun) return planned;
  if (planned.removed.length > 0) await options.confirmed(planned);
  return alarms.apply(wanted);
}
