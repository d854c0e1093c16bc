import type { RegistryClient } from '../api/client.js';
import {
  type NewAlarmTarget,
  newAlarmTargetSchema,
  type ProjectAlarmsApplied,
  withTargets,
} from '../api/contract/alarm-targets.js';
import { type NewAlarm, newAlarmSchema } from '../api/contract/alarms.js';
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

/** The targets under notify: in a project's aiot.yaml, as the platform defines targets. @throws AIOT_PROJECT_INVALID */
export function targetsOf({ config, file }: Project): NewAlarmTarget[] {
  return Object.entries(config.notify ?? {}).map(([name, { after, group, ...own }]) => {
    const invalid = (field: string, message: string) =>
      new AiotError('AIOT_PROJECT_INVALID', `${file}: notify.${name}.${field}: ${message}`);
    const unknown = own.alarms?.find((alarm) => !Object.hasOwn(config.alarms ?? {}, alarm));
    if (unknown !== undefined)
      throw invalid('alarms', `expected names under alarms: in this file; got ${unknown}`);
    if (hasSecret(own.url))
      throw invalid('url', 'expected a variable such as $AIOT_NOTIFY_PASSWORD in place of a secret');
    const wanted = {
      ...{ ...own, name },
      ...(after === undefined ? {} : { afterMs: parseDuration(after) }),
      ...(group === undefined ? {} : { groupMs: parseDuration(group) }),
    };
    const checked = newAlarmTargetSchema.safeParse(wanted);
    if (checked.success) return checked.data;
    const place = String(checked.error.issues[0]?.path[0]);
    const field = { afterMs: 'after', groupMs: 'group' }[place] ?? place;
    throw invalid(field, field === place ? 'invalid value' : 'expected at most 7d');
  });
}

/**
 * Whether a target's URL has a credential in plain text. For services that expect a token as the user name, the user name is a
 * credential too.
 */
export function hasSecret(url: string): boolean {
  const [, scheme = '', user = '', password] = /^([a-z]+):\/\/([^:@/?]*)(?::([^@/?]*))?@/.exec(url) ?? [];
  const isPlain = (part: string) => part !== '' && !/^\$AIOT_NOTIFY_[A-Z0-9_]+$/.test(part);
  const isToken = ['pagerduty', 'telegram'].includes(scheme) && isPlain(user);
  return isToken || (password !== undefined && isPlain(password));
}

/**
 * Synchronizes a project's alarms and notification targets on the platform with its aiot.yaml.
 * @param confirmed asks the user before alarms are removed with their incidents; not called with `dryRun`
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_ALREADY_EXISTS (an alarm or target of another project), AIOT_ALARM_TARGET
 */
export async function applyProjectAlarms(
  { alarms, alarmTargets }: Pick<RegistryClient, 'alarms' | 'alarmTargets'>,
  options: {
    project: string;
    dryRun: boolean;
    confirmed: (planned: ProjectAlarmsApplied) => Promise<void>;
  },
): Promise<ProjectAlarmsApplied> {
  const project = await loadProject(options.project);
  const { name } = project.config;
  const [wanted, targets] = [alarmsOf(project), targetsOf(project)];
  const apply = async (dryRun: boolean) => {
    const applied = await alarms.apply({ project: name, alarms: wanted, dryRun });
    return withTargets(applied, await alarmTargets.apply({ project: name, targets, dryRun }));
  };
  const planned = await apply(true);
  if (options.dryRun) return planned;
  if (planned.removed.length + planned.targets.removed.length > 0) await options.confirmed(planned);
  return apply(false);
}
