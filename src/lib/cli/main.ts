import { execute } from '@oclif/core';

/** Runs one command line; errors are shown and turned into exit codes by the commands' base class. */
export async function main(
  args: string[],
  dir: string,
  options: { development?: boolean } = {},
): Promise<void> {
  await execute({ args, dir, ...options });
}
