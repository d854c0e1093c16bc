import * as z from 'zod';
import { requireWritable, writeFileAtomic } from '../core/files.js';
import { type MadeToken, madeTokenSchema } from './contract/access.js';

/**
 * A new token. If it was saved, `file` has its path, and `token` is absent, so that no log contains it. If it could not be saved, `unsaved`
 * has the reason, and `token` is present, because an earlier secret may no longer be valid.
 */
export const savedTokenSchema = madeTokenSchema
  .partial({ token: true })
  .extend({ file: z.string().optional(), unsaved: z.string().optional() });
export type SavedToken = z.output<typeof savedTokenSchema>;

/**
 * Saves the secret of a new token to a file with mode 0600, replacing an earlier file. Without a file, the token is returned.
 * @param make is called only if the file can be written, because the platform returns a secret only once
 * @throws AIOT_FILE_NOT_WRITABLE
 */
export async function savingToken(
  file: string | undefined,
  make: () => Promise<MadeToken>,
): Promise<SavedToken> {
  if (file === undefined) return make();
  await requireWritable(file);
  const { token, ...made } = await make();
  try {
    await writeFileAtomic(file, `${token}\n`, 0o600);
  } catch (error) {
    return { ...made, token, unsaved: error instanceof Error ? error.message : String(error) };
  }
  return { ...made, file };
}
