import type { UpResult } from '../../platform/index.js';
import { shellWord } from '../again.js';
import { bold, dim } from './style.js';
import { facts } from './text.js';

/** How to get a context for a platform that no context knows: tokens are made at its start alone. */
export function platformNext(at: string, detach = false): string {
  return `aiot down${at} && aiot up${at} --new-token${detach ? ' --detach' : ''}`;
}

/** What runs, where, and with which routes. */
export function platformText({ pid, urls, ca, token, context, replaced, project }: UpResult): string {
  const lines: [string, string | number][] = [
    ['API', urls.http],
    ['MQTT', [urls.mqtts, urls.mqtt].filter(Boolean).join(', ')],
    ['CA', ca],
    ['pid', pid],
  ];
  if (urls.boards !== undefined) lines.push(['boards', `${urls.boards}  ${dim('(any password)')}`]);
  if (project) lines.push(['project', `${project.name}  ${dim(shellWord(project.dir))}`]);
  for (const { name, from, to, state } of project?.routes ?? []) {
    lines.push([
      name,
      `${from.join(', ')} → ${to.join(', ')}${state === 'running' ? '' : `  ${bold(state)}`}`,
    ]);
  }
  lines.push(['context', context ?? 'none knows it']);
  if (token !== undefined) lines.push(['token', `${token}  ${dim('(shown once; the context keeps it)')}`]);
  const switched = replaced === undefined ? '' : `\ncontext ${context} is now in use (was ${replaced})`;
  return `${bold('The platform is up.')}\n${facts(lines)}${switched}`;
}
