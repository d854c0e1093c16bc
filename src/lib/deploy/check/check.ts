import * as z from 'zod';
import { podFindings, portFindings } from './containers.js';
import { cloudInitFindings, composeFindings } from './machines.js';
import { type DeployFolder, type Finding, readDeployFolder } from './objects.js';
import { referenceFindings } from './references.js';
import { secretFindings } from './secrets.js';
import { versionFindings } from './versions.js';

export const checkedDeploymentSchema = z.object({
  /** Absolute path of the folder. */
  dir: z.string(),
  /** Number of files, and of documents in them. */
  files: z.int(),
  objects: z.int(),
  /** Whether no finding is an error. */
  ok: z.boolean(),
  findings: z.array(
    z.object({
      level: z.enum(['error', 'warning']),
      rule: z.string(),
      file: z.string(),
      /** Line in the file, from 1. */
      line: z.int(),
      object: z.string(),
      message: z.string(),
    }),
  ),
});
export type CheckedDeployment = z.output<typeof checkedDeploymentSchema>;

const rules: readonly ((folder: DeployFolder) => Finding[])[] = [
  portFindings,
  secretFindings,
  versionFindings,
  podFindings,
  referenceFindings,
  composeFindings,
  cloudInitFindings,
];

/**
 * Checks a folder of deployment files for a cluster, a Docker host or a VM. Finds problems that would otherwise occur only after
 * deployment. The files may be rendered or written by hand.
 * @throws AIOT_DEPLOY_NOTHING, AIOT_FILE_NOT_FOUND
 */
export async function checkDeployment(dir: string): Promise<CheckedDeployment> {
  const folder = await readDeployFolder(dir);
  const findings = [...folder.broken, ...rules.flatMap((rule) => rule(folder))].sort(
    (a, b) => a.level.localeCompare(b.level) || a.file.localeCompare(b.file) || a.line - b.line,
  );
  return {
    dir: folder.dir,
    files: folder.texts.size,
    objects: folder.objects.length,
    ok: findings.every(({ level }) => level !== 'error'),
    findings,
  };
}
