/**
 * Every error a user can meet, sorted by code. `aiot explain CODE` prints an entry; docs/errors.md is made from it.
 *
 * family: `user` = the input is wrong, `outside` = something this program talks to failed, `bug` = ours.
 */
export interface CatalogueEntry {
  /** Exit code: 1 failed · 2 usage · 3 partly failed · 4 not found · 5 not allowed · 6 a check or gate said no · 124 timed out · 130 interrupted. */
  exit: 1 | 2 | 3 | 4 | 5 | 6 | 124 | 130;
  family: 'user' | 'outside' | 'bug';
  /** What it means, in one or two sentences. */
  about: string;
  /** What to do next, as a command or a sentence. */
  next: string;
}

export const catalogue = {
  AIOT_BUG: {
    exit: 1,
    family: 'bug',
    about: 'Something in aiot itself went wrong.',
    next: 'Run the command again with --debug and report what it prints.',
  },
  AIOT_FEATURE_UNFIT: {
    exit: 2,
    family: 'user',
    about: 'The named feature set cannot be computed from these fields, this rate or this window.',
    next: 'Change signal.features or signal.window in aiot.yaml; docs/project.md says what each set needs.',
  },
  AIOT_FEATURE_UNKNOWN: {
    exit: 2,
    family: 'user',
    about: 'signal.features names a feature that no set has.',
    next: 'Use raw, motion, spectral, har, or names out of those sets.',
  },
  AIOT_FILE_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'A file does not have the form it should have.',
    next: 'Mend the file at the place named, or make it again.',
  },
  AIOT_FILE_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'A file or folder that was named does not exist.',
    next: 'Check the path.',
  },
  AIOT_FILE_NOT_WRITABLE: {
    exit: 1,
    family: 'outside',
    about: 'A file could not be written: no permission, no space, or a path that is not a folder.',
    next: 'Free some space or choose another folder; nothing was half-written.',
  },
  AIOT_INTERRUPTED: {
    exit: 130,
    family: 'user',
    about: 'The command was stopped by Ctrl-C or SIGTERM.',
    next: 'Run it again when you like; what it had started was ended.',
  },
  AIOT_MANIFEST_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'A signed manifest does not have the form it should have.',
    next: 'Push the model again with this version of aiot.',
  },
  AIOT_MESSAGE_MALFORMED: {
    exit: 1,
    family: 'outside',
    about: 'A message of the device protocol does not have the form it should have.',
    next: 'Compare the payload with docs/protocol.md.',
  },
  AIOT_PROJECT_INVALID: {
    exit: 2,
    family: 'user',
    about: 'aiot.yaml has a value that does not fit.',
    next: 'Mend the line named; docs/project.md describes each field.',
  },
  AIOT_PROJECT_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'There is no aiot.yaml in the folder.',
    next: 'aiot init DIR --template har-imu',
  },
  AIOT_SIGNATURE_INVALID: {
    exit: 5,
    family: 'user',
    about: 'A manifest is not signed by enough of the keys that the trust root names for it.',
    next: 'Push with the signing key of this platform; aiot context list shows which platform is in use.',
  },
  AIOT_USAGE: {
    exit: 2,
    family: 'user',
    about: 'The command line has an unknown, missing or malformed argument or flag.',
    next: 'Add --help to the command to see what it takes.',
  },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;
