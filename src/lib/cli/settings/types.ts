import { z } from 'zod';

export const settingSchema = z.object({
  name: z.string(),
  /** As text; a secret is masked; null = not set. */
  value: z.string().nullable(),
  /** What won. The order is: flag, env, project, context, default. */
  from: z.enum(['flag', 'env', 'project', 'context', 'default']),
  /** The flag, the variable, file:line, the context's name; `built in` for a default. */
  where: z.string(),
});
export type Setting = z.output<typeof settingSchema>;

export const explainedSchema = z.object({
  settings: z.array(settingSchema),
  /** Variables that begin with AIOT_ and mean nothing: a slip of the pen, most often. */
  unknown: z.array(z.string()),
});
export type Explained = z.output<typeof explainedSchema>;

/** A flag of some command and its variable. */
export interface FlagVariable {
  flag: string;
  variable: string;
  /** Names of the commands that have it. */
  commands: string[];
}
