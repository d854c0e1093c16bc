import { isNode, LineCounter, parseDocument } from 'yaml';
import { readText } from '../files.js';
import type { Project } from './load.js';

export interface ProjectSetting {
  /** Fields from the top, joined by dots. */
  path: string;
  /** A scalar or a list. */
  value: unknown;
  /** Line of aiot.yaml, from 1; null where the file says nothing and the default holds. */
  line: number | null;
}

/** Each value of a project with the place where it is written. @throws as `readText` */
export async function projectSettings(project: Project): Promise<ProjectSetting[]> {
  const lines = new LineCounter();
  const text = await readText(project.file);
  const document = parseDocument(text, { lineCounter: lines, logLevel: 'error' });
  return leaves(project.config, []).map(({ path, value }) => {
    const node = document.getIn(path, true);
    const offset = isNode(node) ? node.range?.[0] : undefined;
    const line = offset === undefined ? null : lines.linePos(offset).line;
    return { path: path.join('.'), value, line };
  });
}

function leaves(value: unknown, path: string[]): { path: string[]; value: unknown }[] {
  if (value === undefined) return [];
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [{ path, value }];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}
