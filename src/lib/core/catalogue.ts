/**
 * Every error a user can meet, sorted by code. `aiot explain CODE` prints an entry; docs/errors.md is made from it.
 *
 * family: `user` = the input is wrong, `outside` = something this program talks to failed, `bug` = ours.
 */
export interface CatalogueEntry {
  /** Exit code: 1 failed · 2 usage · 3 partly failed · 4 not found · 5 not allowed · 6 a check or gate said no · 124 timed out · 130 interrupted. */
  exit: 1 | 2 | 3 | 4 | 5 | 6 | 124 | 130;
  family: 'user' | 'outside' | 'bug';
  /** Its meaning, in one or two sentences. */
  about: string;
  /** The next step, as a command or a sentence. */
  next: string;
}

export const catalogue = {
  AIOT_ACTION_ENDED: {
    exit: 1,
    family: 'user',
    about:
      'A client of the Direct Device Integration API spoke of an action that is over: it was installed, has failed or was taken back.',
    next: 'Nothing: the client learns with its next poll what it has to do. aiot ota status shows the rollout.',
  },
  AIOT_ACTION_STATE: {
    exit: 1,
    family: 'user',
    about: 'A client of the Direct Device Integration API answered a cancellation that nobody asked it for.',
    next: 'Nothing: the action goes on. aiot ota status shows the rollout.',
  },
  AIOT_APPROVAL_NEEDED: {
    exit: 5,
    family: 'user',
    about:
      'An agent called a command that changes something, without an approval that is good for just this call.',
    next: 'The user types aiot mcp approve ID, which prints a token for one call.',
  },
  AIOT_ARGO_CONFLICT: {
    exit: 1,
    family: 'outside',
    about:
      'The Argo server has another object under that name already, or somebody changed it in the same moment.',
    next: 'Try again; kubectl -n NAMESPACE get workflows,workflowtemplates lists what there is.',
  },
  AIOT_ARGO_DENIED: {
    exit: 5,
    family: 'outside',
    about:
      'The Argo server does not know who asks, or does not let them: the token is missing, is over, or its service account has no role for workflows in that namespace.',
    next: 'kubectl -n NAMESPACE create token SERVICE-ACCOUNT > token, then --argo-token-file token; docs/pipelines.md has the role.',
  },
  AIOT_ARGO_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The Argo server refused a call, or what it answers is not of Argo.',
    next: 'What it said stands with it; kubectl -n argo logs deployment/argo-server has more.',
  },
  AIOT_ARGO_TEMPLATE: {
    exit: 6,
    family: 'user',
    about:
      'The WorkflowTemplate in the cluster is missing, or is not what the project renders now: the cluster would run other steps than those of aiot.yaml.',
    next: 'aiot pipeline run --engine argo --apply puts it there; or render it by aiot pipeline render --target argo --out argo, and have kubectl apply it.',
  },
  AIOT_ARGO_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: 'The Argo server did not answer. A workflow that was submitted goes on without it.',
    next: 'Check --argo-server; kubectl -n argo port-forward svc/argo-server 2746 brings it to this machine.',
  },
  AIOT_BACKEND_MISSING: {
    exit: 1,
    family: 'outside',
    about:
      'Training was to run on TensorFlow.js (--backend cpu, wasm or node), or a loop on a Coral Edge TPU (--delegate coral), and the optional packages that this needs are not installed here or do not load.',
    next: 'npm install @tensorflow/tfjs-node (Node 20 or 22), or leave --backend out: the built-in engine needs nothing.',
  },
  AIOT_BACKUP_DAMAGED: {
    exit: 6,
    family: 'outside',
    about:
      'Something that the platform keeps is damaged, so that a backup of it would not be whole. No file was written.',
    next: 'Repair the platform from an earlier backup (aiot platform verify --repair --from BACKUP), or make one without what is damaged: --allow-damaged',
  },
  AIOT_BACKUP_MALFORMED: {
    exit: 6,
    family: 'user',
    about:
      'The file is no backup of a platform, not all of one, of a newer aiot, or was changed after it was made. Nothing was restored.',
    next: 'Try another copy of it; aiot backup restore FILE --check looks at every byte and changes nothing.',
  },
  AIOT_BACKUP_PASSPHRASE: {
    exit: 5,
    family: 'user',
    about: 'The passphrase does not open the backup. Nothing was restored.',
    next: 'Give the one that it was made with: AIOT_BACKUP_PASSPHRASE, or --passphrase-file FILE',
  },
  AIOT_BIRTH_MISMATCH: {
    exit: 6,
    family: 'user',
    about:
      'A device is not what its birth certificate says: another board, another certificate, or other contents of its flash.',
    next: 'If the board was changed on purpose: aiot device replace NAME. If not, aiot device revoke NAME takes its access back.',
  },
  AIOT_BIRTH_MISSING: {
    exit: 4,
    family: 'user',
    about:
      'The registry has no birth certificate of this device: it was not provisioned by an operator with a signing key.',
    next: 'aiot device rotate NAME --out DIR writes one with its next certificate.',
  },
  AIOT_BLOBS_UNAVAILABLE: {
    exit: 1,
    family: 'outside',
    about:
      'The S3 bucket that holds the blobs does not answer, refuses the platform, or does not keep what was put there.',
    next: 'Check that the server runs, the bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: aiot stream check s3://BUCKET?endpoint=URL',
  },
  AIOT_BLOB_DAMAGED: {
    exit: 1,
    family: 'outside',
    about:
      'A model, a release or another blob is not what its digest says: the disk or the bucket has changed it. None of it was sent.',
    next: 'Stop the platform and take it from a backup: aiot platform verify --repair --from BACKUP. Pushing the same content again mends it, too.',
  },
  AIOT_BROKER_REFUSED: {
    exit: 5,
    family: 'outside',
    about: 'The broker did not let this client in, or does not allow it to publish or subscribe there.',
    next: 'Check the certificate, token or password, and that the topic is one this client may use.',
  },
  AIOT_BROKER_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about:
      'The message broker did not answer, or its TLS certificate is not signed by the CA that is trusted here.',
    next: "Check the URL and that the broker runs; aiot status shows the platform's own.",
  },
  AIOT_BUG: {
    exit: 1,
    family: 'bug',
    about: 'Something in aiot itself went wrong.',
    next: 'Run the command again with --debug and report what it prints.',
  },
  AIOT_BUNDLE_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'A model bundle (.aiot) is damaged, incomplete or not of a version that this aiot knows.',
    next: 'Make it again: aiot model push, or download it again.',
  },
  AIOT_BUNDLE_TAMPERED: {
    exit: 6,
    family: 'user',
    about: 'A file in a signed bundle is not what was signed: it was changed, or damaged, afterwards.',
    next: 'Do not use it. Get it again: aiot model pull NAME@VERSION --out DIR',
  },
  AIOT_CAMERA_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'A camera gave no picture: it is not there, in use by another program, or has no such size or format.',
    next: 'Look at what it has with v4l2-ctl --list-formats-ext, and choose with ?size=640x480&input=yuyv422.',
  },
  AIOT_CAMERA_FFMPEG: {
    exit: 1,
    family: 'outside',
    about: 'Cameras are read by ffmpeg, which is not installed here or does not start.',
    next: 'Install it: apt install ffmpeg, brew install ffmpeg, or winget install ffmpeg.',
  },
  AIOT_CAMERA_LIBCAMERA: {
    exit: 1,
    family: 'outside',
    about:
      "A Raspberry Pi's own camera is read by a process of rpicam-vid (libcamera-vid on older systems), which is not here or does not start.",
    next: 'sudo apt install rpicam-apps, or camera:///dev/video0 for a camera on USB',
  },
  AIOT_CA_LOCKED: {
    exit: 5,
    family: 'user',
    about:
      'The key of the platform’s certificate authority is encrypted, and the passphrase is missing or wrong.',
    next: 'Give the one that it was encrypted with in AIOT_CA_PASSPHRASE, and start again.',
  },
  AIOT_CERTIFICATE_REFUSED: {
    exit: 5,
    family: 'user',
    about:
      'The platform does not take a device’s certificate: the device is revoked, suspended or replaced, the certificate was rotated or has expired, or the platform does not know it.',
    next: 'Where the operator is, aiot device show NAME tells which. A revoked device is made anew: aiot device provision NAME, or aiot device claim NAME.',
  },
  AIOT_CERTIFICATE_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'The certificate or the key given for the platform’s listeners cannot be used: damaged, expired, not for servers, or not of one another.',
    next: 'Give a chain in PEM, the server’s own certificate first, and its private key without a passphrase.',
  },
  AIOT_CHECKSUM_MISMATCH: {
    exit: 1,
    family: 'outside',
    about:
      'A piece of an upload came with a checksum that is not its own: it changed on its way, and was not kept.',
    next: 'Send the piece again.',
  },
  AIOT_CHIP_BOOT_MODE: {
    exit: 1,
    family: 'outside',
    about:
      'The chip started its program instead of the loader: its boot pin (GPIO0, GPIO9 on a C3) was high when it was reset.',
    next: 'Hold BOOT, press and release RESET (or plug the cable in again), let go of BOOT, and repeat the command.',
  },
  AIOT_CHIP_BROWNOUT: {
    exit: 1,
    family: 'outside',
    about: 'The chip resets because its supply voltage dips.',
    next: 'Use a shorter or better cable, a port that gives more current or a powered hub, and unplug what the board feeds.',
  },
  AIOT_CHIP_CRASHED: {
    exit: 1,
    family: 'outside',
    about: "The chip's loader crashed while it was worked with, or the chip was reset in the middle.",
    next: 'Repeat the command; if it crashes again, try --no-stub or a lower --baud.',
  },
  AIOT_CHIP_DEAF: {
    exit: 1,
    family: 'outside',
    about: 'The chip says that it waits for a download, but what is sent does not reach it.',
    next: "Look at the wire from the adapter's TX to the chip's RX, and that nothing else drives that pin.",
  },
  AIOT_CHIP_GARBLED: {
    exit: 1,
    family: 'outside',
    about: 'What came back from the chip is noise or text at another speed, not an answer.',
    next: 'Repeat with --baud 115200; look at the cable, the ground wire and, on older boards, a 26 MHz crystal.',
  },
  AIOT_CHIP_LOCKED: {
    exit: 5,
    family: 'outside',
    about: 'Fuses of the chip forbid what was asked: its download mode is off or in secure mode.',
    next: 'Update it over the air instead; aiot flash info shows what its fuses allow.',
  },
  AIOT_CHIP_MISMATCH: {
    exit: 2,
    family: 'user',
    about: 'The chip at this port is another one than was asked for.',
    next: 'Leave --chip out to take what is there, or choose the right port: aiot device ports',
  },
  AIOT_CHIP_SILENT: {
    exit: 1,
    family: 'outside',
    about: 'Nothing at all came from the chip: no boot text, no answer.',
    next: 'Look at the cable (some only charge), the power and the port; hold BOOT while you press RESET and try again.',
  },
  AIOT_CHIP_STOPPED: {
    exit: 1,
    family: 'outside',
    about: 'The chip answered at first, and then no more: cable, power, or its loader hangs.',
    next: 'Look at cable and power, reset the board, and repeat the command; what was written is checked and skipped.',
  },
  AIOT_CHIP_UNKNOWN: {
    exit: 1,
    family: 'outside',
    about: 'A chip answered, but not one that this program knows.',
    next: 'Say which it is with --chip.',
  },
  AIOT_CLAIM_INVALID: {
    exit: 5,
    family: 'user',
    about:
      'A one-time token for a certificate is wrong, used, expired, or void because a later one was made.',
    next: 'aiot device claim NAME --type TYPE makes a new one.',
  },
  AIOT_CLAMP_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'No burden can be computed for this current clamp: its output is a voltage, it is too small for the current, or the resistor would be one that nobody sells.',
    next: 'Give what stands on the clamp and what you want to measure: aiot firmware burden --clamp 100A:50mA --nominal 30A',
  },
  AIOT_COMMAND_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'A device could not carry out a command that was sent to it.',
    next: 'Read the message; aiot device show NAME tells the state of the device.',
  },
  AIOT_COMMAND_UNKNOWN: {
    exit: 2,
    family: 'user',
    about: 'A device was sent a command that it does not know.',
    next: 'docs/protocol.md lists the commands of protocol v1.',
  },
  AIOT_CONFIG_MALFORMED: {
    exit: 2,
    family: 'user',
    about:
      'A device’s configuration has not its form: a member is unknown, of another type or out of its bounds.',
    next: 'docs/protocol.md#configuration tells what is in it. Set it right, and push it again.',
  },
  AIOT_CONFIG_UNFIT: {
    exit: 6,
    family: 'user',
    about:
      'A device cannot work with this configuration: its sensor’s rate is no multiple of sampleHz, or its model takes another rate. It went on with the one before.',
    next: 'Choose a rate that sensor and model take, or deploy a model for the new rate first.',
  },
  AIOT_CONTEXT_EXISTS: {
    exit: 2,
    family: 'user',
    about: 'A context of this name is there already, for another platform.',
    next: 'Choose another name with --context, or aiot context remove NAME.',
  },
  AIOT_CONTEXT_KIND: {
    exit: 2,
    family: 'user',
    about: 'The context is of a kind that does not know what the command asks for.',
    next: 'aiot context list shows the kinds; choose another with --context NAME.',
  },
  AIOT_CONTEXT_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'No platform is known by this name, or none is in use yet.',
    next: 'aiot up',
  },
  AIOT_CSR_INVALID: {
    exit: 2,
    family: 'user',
    about: 'A certificate request is malformed, not for an ECDSA P-256 key, or not signed by its own key.',
    next: 'aiot device provision NAME --type virtual --out DIR',
  },
  AIOT_CSV_COLUMNS: {
    exit: 2,
    family: 'user',
    about:
      'The header of a CSV file does not name the columns that are expected: the stream’s fields, no more and no fewer.',
    next: 'Compare the first line of the file with stream.fields in aiot.yaml.',
  },
  AIOT_CSV_EMPTY: {
    exit: 2,
    family: 'user',
    about: 'A CSV file has a header and no rows of numbers.',
    next: 'Record it again, or remove the file.',
  },
  AIOT_CSV_MALFORMED: {
    exit: 2,
    family: 'user',
    about:
      'A CSV file has a row with a missing or further cell, or a cell that is not a finite decimal number.',
    next: 'Mend or remove the line named.',
  },
  AIOT_DATABASE_REFUSED: {
    exit: 5,
    family: 'outside',
    about:
      'The database did not let the platform in, or is not one that this aiot can use: the password, its name, a privilege, its version, or keys in it that were sealed with another secret.',
    next: 'Check the URL of --database, and what the message says is missing.',
  },
  AIOT_DATABASE_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about:
      'The database did not answer, or broke off. What was acknowledged is in it; what was not may be repeated.',
    next: 'Check that the database runs and that --database names it, and try again.',
  },
  AIOT_DATA_CHANGED: {
    exit: 2,
    family: 'user',
    about:
      'The CSV files of a data folder are not those that its dataset.json lists, or a table has changed while it was read.',
    next: 'Restore the file, or remove dataset.json and import the recordings again.',
  },
  AIOT_DATA_COLUMNS: {
    exit: 2,
    family: 'user',
    about:
      'Recordings do not have the fields that the project’s stream declares, or a table of rows not the columns that are needed: one per input of the network, and the label where figures are wanted.',
    next: 'Compare dataset.json with stream.fields in aiot.yaml, or the table’s header with the network’s inputs; --label NAME names its column of labels.',
  },
  AIOT_DATA_EMPTY: {
    exit: 2,
    family: 'user',
    about: 'There are no recordings to work on.',
    next: 'aiot data import FOLDER, or aiot data record --label LABEL',
  },
  AIOT_DATA_LEAK: {
    exit: 6,
    family: 'user',
    about: 'Data that is tested on is, or nearly is, in what is trained on: the figures would be a fiction.',
    next: 'aiot data check',
  },
  AIOT_DATA_NO_DEVICE: {
    exit: 2,
    family: 'user',
    about: 'model.split is "device", and a recording does not say which device made it.',
    next: 'Import it with --device, or set model.split to recording.',
  },
  AIOT_DATA_NO_TIME: {
    exit: 2,
    family: 'user',
    about: 'model.split is "time", and a recording does not say when it was made.',
    next: 'Set model.split to recording.',
  },
  AIOT_DATA_ONE_CLASS: {
    exit: 2,
    family: 'user',
    about: 'All recordings are of one class: there is nothing to tell apart.',
    next: 'Record the other classes of model.labels too.',
  },
  AIOT_DATA_RATE: {
    exit: 2,
    family: 'user',
    about: 'A recording was made at another rate than the project’s signal.rate.',
    next: 'Record it at signal.rate, or set signal.rate to the rate of the recordings.',
  },
  AIOT_DATA_TOO_FEW: {
    exit: 2,
    family: 'user',
    about: 'A class has too few independent recordings to be trained, chosen and tested on.',
    next: 'Record at least three takes of each class; parts of one take are near copies of each other and count as one.',
  },
  AIOT_DDI_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'The update client of a device (SWUpdate, RAUC, …) failed to install what it was offered, or left it out; the message is its own last word.',
    next: 'Look at the log of the client on the device: the reason is often earlier there than in its last line.',
  },
  AIOT_DELTA_BASE: {
    exit: 1,
    family: 'outside',
    about:
      'A delta update was made for another release than the one that the device runs. It downloads the whole release instead.',
    next: 'Nothing has to be done. aiot device show NAME tells what the device runs.',
  },
  AIOT_DELTA_MALFORMED: {
    exit: 1,
    family: 'outside',
    about:
      'A patch of a delta update is not in its form, or has not its digest. The device downloads the whole release instead.',
    next: 'Nothing has to be done. Where it comes again and again, look at who stands between device and platform.',
  },
  AIOT_DELTA_RESULT: {
    exit: 1,
    family: 'outside',
    about:
      'What a patch made of the release that the device runs has not the digest that is signed. The device downloads the whole release instead.',
    next: 'Nothing has to be done. Where it comes again and again, the flash of the device may be failing.',
  },
  AIOT_DEPLOY_EDITED: {
    exit: 6,
    family: 'user',
    about: 'Rendering would write over a file that was edited, or was there before.',
    next: 'Keep your changes elsewhere and write over them with --force, or render into another folder; --dry-run says what would be done.',
  },
  AIOT_DEPLOY_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'A program that applies an installation, or tells of it, has failed or is not on this machine.',
    next: 'What it said stands with it. kubectl, docker or systemctl have to be on the PATH; aiot deploy apply --dry-run shows what would be run.',
  },
  AIOT_DEPLOY_NOTHING: {
    exit: 4,
    family: 'user',
    about: 'The folder has nothing that aiot deploy has rendered.',
    next: 'aiot deploy render --target TARGET --out DIR',
  },
  AIOT_DEPLOY_UNFIT: {
    exit: 6,
    family: 'user',
    about: 'What is to be applied has a mistake that the cluster, or the machine, would find later.',
    next: 'aiot deploy check DIR lists them all.',
  },
  AIOT_DEPLOY_VALUES: {
    exit: 2,
    family: 'user',
    about: 'A deploy.yaml has a field that is not known, or a value that cannot be.',
    next: 'Each line names file, line and column. docs/deploy.md lists the fields.',
  },
  AIOT_DEVICE_BUSY: {
    exit: 1,
    family: 'user',
    about: 'The virtual device of this folder is running already: two would write into one flash.',
    next: 'End the other one, or provision another device.',
  },
  AIOT_DEVICE_CHANGED: {
    exit: 1,
    family: 'user',
    about: 'The device was rotated or replaced by somebody else meanwhile: what that gave it stays good.',
    next: 'aiot device show NAME',
  },
  AIOT_DEVICE_EXISTS: {
    exit: 2,
    family: 'user',
    about: 'A device of this name is registered already.',
    next: 'Choose another name; aiot device list shows those taken.',
  },
  AIOT_DEVICE_NO_MODEL: {
    exit: 1,
    family: 'user',
    about: 'The device has no active model to predict with.',
    next: 'Roll one out: aiot model deploy NAME@VERSION --to all',
  },
  AIOT_DEVICE_OFFLINE: {
    exit: 1,
    family: 'user',
    about: 'The device has no connection to the platform, so it hears nothing.',
    next: 'Start it, or wait until aiot device list shows it online.',
  },
  AIOT_DEVICE_ONLINE: {
    exit: 1,
    family: 'user',
    about: 'Another simulated fleet runs devices of these names, which would lose their credentials.',
    next: 'Give this one names of its own, such as --template "press-####", or end the other one.',
  },
  AIOT_DEVICE_STATE: {
    exit: 1,
    family: 'user',
    about:
      'The device is in a state in which this cannot happen: registered, provisioned, active, suspended or revoked.',
    next: 'aiot device show NAME tells its state. A revoked device never comes back: provision it anew.',
  },
  AIOT_DEVICE_UPDATING: {
    exit: 1,
    family: 'user',
    about: 'A rollout is under way on the device, and would be disturbed.',
    next: 'Wait until it has ended; aiot device show NAME tells how far it is.',
  },
  AIOT_DIGEST_MISMATCH: {
    exit: 1,
    family: 'outside',
    about: 'What arrived is not what its digest says: it was cut or changed on the way.',
    next: 'Send it again; nothing of it was kept.',
  },
  AIOT_DISK_FULL: {
    exit: 1,
    family: 'outside',
    about: 'The disk is full: of the platform, or where a command writes.',
    next: 'Free some space there and repeat; nothing was half-written.',
  },
  AIOT_EDGETPU_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'The compiler for the Edge TPU (edgetpu_compiler) did not take the network, or left no file with an operator of the Edge TPU in it.',
    next: 'Its last words are in the message; the Edge TPU takes int8 networks with inputs and outputs of int8: aiot model quantize --mode int8',
  },
  AIOT_EVENTS_GONE: {
    exit: 4,
    family: 'user',
    about:
      'The events that were to be read next are no longer kept: a platform deletes old ones. What was changed meanwhile cannot be read from them.',
    next: 'Read the state anew, and go on from the oldest event that is kept: aiot events tail --from 0',
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
  AIOT_FILE_IS_INPUT: {
    exit: 2,
    family: 'user',
    about: 'A file to be written is one that the command reads: it would be lost.',
    next: 'Choose another name with --out.',
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
  AIOT_FILE_NOT_READABLE: {
    exit: 1,
    family: 'outside',
    about: 'A file could not be read: no permission, a folder in its place, or something that is no file.',
    next: 'Check what is at that path, and who may read it.',
  },
  AIOT_FILE_NOT_WRITABLE: {
    exit: 1,
    family: 'outside',
    about: 'A file could not be written: no permission, no space, or a path that is not a folder.',
    next: 'Free some space or choose another folder; nothing was half-written.',
  },
  AIOT_FIRMWARE_BUILD: {
    exit: 1,
    family: 'outside',
    about:
      'A project’s firmware could not be built: the compiler, CMake, PlatformIO or ESP-IDF said no, or did not make what it should.',
    next: 'What it said first is in the message; the file that the error names has all of it.',
  },
  AIOT_FIRMWARE_MISSING: {
    exit: 4,
    family: 'user',
    about:
      'The folder holds no firmware of a project: aiot firmware init makes one, with a note by which it is known.',
    next: 'aiot firmware init DIR, or name the folder that it made.',
  },
  AIOT_FLASH_CORRUPTED: {
    exit: 1,
    family: 'outside',
    about: 'Bytes were lost or changed between here and the chip, again and again.',
    next: 'Repeat with a lower --baud, a shorter cable, or without a hub in between.',
  },
  AIOT_FLASH_NO_SLOT: {
    exit: 2,
    family: 'user',
    about: 'The board has no slot to put this into: no partition table, or one without a second slot.',
    next: 'Write a table with two slots first: aiot firmware partitions create IN.csv OUT.bin',
  },
  AIOT_FLASH_READ: {
    exit: 1,
    family: 'outside',
    about: 'The chip could not read its flash, or what it sent is not what it read.',
    next: 'Repeat the command, with a lower --baud; aiot flash info shows how large the flash is.',
  },
  AIOT_FLASH_REFUSED: {
    exit: 6,
    family: 'user',
    about: 'What was to be written would leave a board that does not start, so nothing was written.',
    next: 'Read the reason; --force writes it anyway and says what it overrides.',
  },
  AIOT_FLASH_UNHEALTHY: {
    exit: 1,
    family: 'outside',
    about:
      'A board did not come up healthy with what was written into its other slot. It was set back to what it ran before, unless the message says that this failed.',
    next: 'Read the reason; aiot monitor shows what the board says.',
  },
  AIOT_FLASH_VERIFY: {
    exit: 1,
    family: 'outside',
    about: 'What is in the flash is not what was written, or not what the file has.',
    next: 'Write it again; if it stays so, the flash chip or its supply is bad.',
  },
  AIOT_FLASH_WRITE: {
    exit: 1,
    family: 'outside',
    about: 'The chip could not write or erase its flash.',
    next: 'Look at the supply; the flash may be write-protected or worn out.',
  },
  AIOT_FOLDER_NOT_EMPTY: {
    exit: 2,
    family: 'user',
    about: 'A folder that is to be filled has something in it already; nothing was written.',
    next: 'Name a new or empty folder.',
  },
  AIOT_GATE_FAILED: {
    exit: 6,
    family: 'user',
    about:
      'The model is below a limit of model.accept in aiot.yaml, or has not been through what its next stage wants, so it may not go on.',
    next: 'Record more or better labelled data and train again; change model.accept only on purpose.',
  },
  AIOT_GOLDEN_MISMATCH: {
    exit: 6,
    family: 'user',
    about:
      'A model does not reproduce its golden vectors exactly, so this runtime would predict something else than was evaluated.',
    next: 'Make the bundle again with this version of aiot; report it when it happens again.',
  },
  AIOT_GUIDE_FULL: {
    exit: 1,
    family: 'outside',
    about:
      'Clients of the guide’s services, whom nobody knows, have stored as much as --compat-quota lets them.',
    next: 'aiot model remove NAME@VERSION takes uploads away, /deleteAllData with --compat-delete-all all of them; or start with a larger --compat-quota.',
  },
  AIOT_I2C_BUSY: {
    exit: 1,
    family: 'outside',
    about:
      'A driver of the kernel owns the chip at this address of an I²C bus, so programs may not talk to it.',
    next: 'Read it through that driver (iio://NAME), or take its overlay out of /boot/firmware/config.txt and start again.',
  },
  AIOT_I2C_DENIED: {
    exit: 5,
    family: 'outside',
    about: 'You may not use this I²C bus.',
    next: 'sudo usermod -aG i2c $USER, then log in again.',
  },
  AIOT_I2C_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'A transaction on an I²C bus broke off, or gave fewer bytes than were asked for.',
    next: 'Check the wires: short, well seated, and with pull-ups to 3.3 V on SDA and SCL; a slower bus (100 kHz) bears more.',
  },
  AIOT_I2C_MISSING: {
    exit: 4,
    family: 'outside',
    about: 'There is no such I²C bus on this machine: it is switched off, or has another number.',
    next: 'Switch it on with sudo raspi-config nonint do_i2c 0, and look with ls /dev/i2c-*',
  },
  AIOT_I2C_NACK: {
    exit: 1,
    family: 'outside',
    about: 'No chip answers at this address of an I²C bus.',
    next: 'Check supply and wires (SDA on pin 3, SCL on pin 5 of a Raspberry Pi) and the address: i2cdetect -y 1 shows which answer.',
  },
  AIOT_I2C_PACKAGE: {
    exit: 1,
    family: 'outside',
    about:
      'I²C buses are reached through the package i2c-bus, which is not installed here or does not load: it is optional, as it is compiled when it is installed, on Linux only.',
    next: 'npm install i2c-bus, beside this program (needs make, g++ and python3: sudo apt install build-essential python3).',
  },
  AIOT_I2C_STUCK: {
    exit: 1,
    family: 'outside',
    about: 'An I²C bus is stuck: a chip holds one of its lines low, or stretches the clock without end.',
    next: 'Take the power off the chips for a second. If it comes back: check the pull-ups and the supply.',
  },
  AIOT_IDEMPOTENCY_REUSED: {
    exit: 2,
    family: 'user',
    about: 'A request came with an Idempotency-Key that another request had before.',
    next: 'Send a new key with each new request; the same one only to repeat a request as it was.',
  },
  AIOT_IDENTITY_EXISTS: {
    exit: 2,
    family: 'user',
    about: 'The folder holds the identity of a device already.',
    next: 'Choose another folder with --out; an identity is never overwritten.',
  },
  AIOT_IMAGE_MALFORMED: {
    exit: 2,
    family: 'user',
    about:
      'A firmware image (or the ELF, HEX or UF2 file it is made from) is damaged, cut short, or not one.',
    next: 'Build it again, or download it again.',
  },
  AIOT_INTERRUPTED: {
    exit: 130,
    family: 'user',
    about: 'The command was stopped by Ctrl-C or SIGTERM.',
    next: 'Run it again when you like; what it had started was ended.',
  },
  AIOT_JOB_ENDED: {
    exit: 2,
    family: 'user',
    about: 'A job has ended already: nothing can be said or wanted of it any more.',
    next: 'aiot job show ID',
  },
  AIOT_JOB_LOST: {
    exit: 1,
    family: 'outside',
    about:
      'Whoever did a job is gone: a program that reported its progress has said nothing for too long, or the platform was killed in the middle of work that cannot be taken up again.',
    next: 'Start it again.',
  },
  AIOT_KEY_EXISTS: {
    exit: 2,
    family: 'user',
    about: 'There is a private key of this name already; it was not written over.',
    next: 'Choose another folder with --out.',
  },
  AIOT_KEY_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'The signing key of this platform is not on this machine.',
    next: 'Run it where aiot up was run first: the key never leaves that user.',
  },
  AIOT_LABELS_UNFIT: {
    exit: 2,
    family: 'user',
    about: 'The labels of a table do not fit the network: other classes than it has outputs, or no numbers.',
    next: 'Name the classes in the order of the outputs: --classes a,b,c',
  },
  AIOT_LABEL_UNKNOWN: {
    exit: 2,
    family: 'user',
    about: 'A recording has a label that is in no class of model.labels.',
    next: 'Add the label to a class in aiot.yaml, or correct the recording’s label.',
  },
  AIOT_LAYER_UNSUPPORTED: {
    exit: 2,
    family: 'user',
    about:
      'A network from elsewhere has a layer, or uses one in a way, that has no counterpart among the operators of microcontrollers here.',
    next: 'Replace the layer as the message says, train again and import again; docs/import.md lists what is read.',
  },
  AIOT_LITERT_FAILED: {
    exit: 1,
    family: 'outside',
    about: "LiteRT, Google's interpreter for .tflite files, could not be loaded or did not take the model.",
    next: 'Run aiot doctor; aiot model inspect FILE shows what the model uses.',
  },
  AIOT_LOOP_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'No loop of this name has run here, as this user or as a service.',
    next: 'aiot loop status lists those that have.',
  },
  AIOT_LOOP_RUNNING: {
    exit: 1,
    family: 'user',
    about:
      'A loop of this name is running: two would take the sensor from each other, and write into one spool.',
    next: 'aiot loop status shows it; give this one another name with --name, or end the other.',
  },
  AIOT_LOOP_STAGE: {
    exit: 2,
    family: 'user',
    about: 'A stage of the motion system (aiot loop run --stage) cannot work with what it was given.',
    next: 'docs/loop.md says what each stage takes and gives.',
  },
  AIOT_MANIFEST_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'A signed manifest does not have the form it should have.',
    next: 'Push the model again with this version of aiot.',
  },
  AIOT_MEMORY_SHORT: {
    exit: 5,
    family: 'user',
    about:
      'A device’s firmware has too little room: for a manifest or timestamp, for the keys of a root, or for a model.',
    next: 'Fewer keys in a root; or firmware with more room: AIOT_ENVELOPE_ROOM for what is signed, AIOT_MEMORY_BYTES for all (docs/trust.md).',
  },
  AIOT_MESSAGE_MALFORMED: {
    exit: 1,
    family: 'outside',
    about: 'A message of the device protocol does not have the form it should have.',
    next: 'Compare the payload with docs/protocol.md.',
  },
  AIOT_MODEL_IN_USE: {
    exit: 6,
    family: 'user',
    about: 'The version is in production, or a device runs it or is to run it, so it cannot be removed.',
    next: 'Give the devices another version (aiot model deploy); out of production: aiot model promote NAME@VERSION --to dev',
  },
  AIOT_MODEL_NOT_BUILT: {
    exit: 4,
    family: 'user',
    about: 'A step needs a file that an earlier step makes: train, then quantize, then evaluate, then push.',
    next: 'aiot model train && aiot model quantize && aiot model evaluate',
  },
  AIOT_MODEL_REFUSED: {
    exit: 6,
    family: 'user',
    about:
      'This content of a model was tried on this machine before, and failed its golden vectors or misbehaved; it is not tried again.',
    next: 'Promote another version of it: aiot model promote NAME@VERSION --to production',
  },
  AIOT_MODEL_STALE: {
    exit: 6,
    family: 'user',
    about:
      'The figures were measured on another model, dataset or aiot.yaml than the one in the build folder.',
    next: 'aiot model train && aiot model quantize && aiot model evaluate',
  },
  AIOT_MODEL_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'The network that aiot.yaml asks for cannot be made, or is not of the kind that the command needs.',
    next: 'Check model.kind, model.layers and signal.features in aiot.yaml; docs/project.md describes them.',
  },
  AIOT_MODEL_UNTRUSTED: {
    exit: 5,
    family: 'user',
    about:
      'The version came in by a door that asks for no signature: it is listed and can be downloaded, and is neither promoted nor rolled out before an operator has signed it.',
    next: 'Look at what it is, then: aiot model sign NAME@VERSION',
  },
  AIOT_MONITOR_FAILED: {
    exit: 6,
    family: 'outside',
    about: 'The board said what --fail was told to look for.',
    next: 'Read the line; aiot monitor --elf FILE names the places in the source of a crash.',
  },
  AIOT_NATIVE_BUILD: {
    exit: 1,
    family: 'outside',
    about: 'The native virtual device could not be built from the firmware’s sources on this machine.',
    next: 'What the compiler said first is in the message; cmake -S firmware -B build shows all of it.',
  },
  AIOT_NATIVE_PART: {
    exit: 1,
    family: 'outside',
    about:
      'What was asked for takes a package with native code (serialport for serial ports, sharp for pictures, libsql for the platform’s state), and that one does not load on this system: it was left out of the installation, or was not built for this processor, C library or Node.',
    next: 'Install it again without --omit=optional, on a Linux with glibc (x64 or arm64), macOS or Windows; a port of another machine is a URL: --port rfc2217://HOST:PORT',
  },
  AIOT_NATIVE_PROGRAM: {
    exit: 2,
    family: 'user',
    about: 'The file of --program is nothing that this machine can start as a native device.',
    next: 'aiot firmware build --target host makes such a program; or leave --program out.',
  },
  AIOT_NOT_ALLOWED: {
    exit: 5,
    family: 'user',
    about: 'Whoever asks is known, but may not do this.',
    next: 'Use an operator token; aiot context list shows which platform is in use.',
  },
  AIOT_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'The platform has nothing of this name.',
    next: 'aiot device list or aiot model list shows what is there.',
  },
  AIOT_NVS_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'An NVS partition image is damaged or cut short.',
    next: 'Make it again: aiot firmware nvs create IN.csv OUT.bin --size 0x6000',
  },
  AIOT_NVS_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'These values do not fit into an NVS partition of this size and version, or are not ones NVS can hold.',
    next: 'Choose a larger --size, or shorten the values.',
  },
  AIOT_OCI_REFUSED: {
    exit: 1,
    family: 'outside',
    about:
      'An OCI registry refused, asked for credentials that nobody keeps, or has something else at that place than a model of aiot.',
    next: 'Log in with docker login, podman login or oras login, and check repository and tag: oci://HOST/REPOSITORY:TAG',
  },
  AIOT_OCI_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: 'An OCI registry did not answer.',
    next: 'Check its address. One without TLS that is not on this machine wants --plain-http.',
  },
  AIOT_OTADATA_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'An otadata partition, which names the app slot that is started, is damaged or cut short.',
    next: 'Make it again: aiot firmware otadata create OUT.bin --slot 0',
  },
  AIOT_PARTITIONS_MALFORMED: {
    exit: 2,
    family: 'user',
    about: "A partition table is damaged, or its rows overlap, are misaligned or go past the flash's end.",
    next: 'Mend the row named in the message.',
  },
  AIOT_PICTURE_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'A picture could not be decoded: it is damaged, of no known format, or not as large as it says.',
    next: 'JPEG, PNG, WebP, GIF, TIFF and AVIF are read; open it in a viewer to see whether it is whole.',
  },
  AIOT_PIPELINE_BUSY: {
    exit: 1,
    family: 'user',
    about:
      'The pipeline of this project is running already, in this or another process: there is one run at a time.',
    next: 'aiot pipeline status shows it; aiot pipeline cancel ends it.',
  },
  AIOT_PIPELINE_STEP: {
    exit: 1,
    family: 'outside',
    about:
      'A step of a pipeline failed, and so did the tries after it. What the steps before it left is kept.',
    next: 'aiot pipeline status --step NAME shows what it said; aiot pipeline resume goes on at it.',
  },
  AIOT_PLATFORM_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The platform could not start, or answered with an error of its own.',
    next: 'Look into platform.log in its data folder.',
  },
  AIOT_PLATFORM_NOT_RUNNING: {
    exit: 4,
    family: 'user',
    about: 'No platform runs on this data folder.',
    next: 'aiot up',
  },
  AIOT_PLATFORM_RUNNING: {
    exit: 1,
    family: 'user',
    about: 'A platform runs on this data folder already.',
    next: 'aiot down, or choose another folder with --data.',
  },
  AIOT_PLATFORM_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: 'The platform did not answer.',
    next: 'aiot up starts it; aiot context list shows which one is asked.',
  },
  AIOT_PLATFORM_UNTRUSTED: {
    exit: 5,
    family: 'outside',
    about: 'The server that answered has no certificate from the CA that this context trusts.',
    next: 'Check the address; aiot context add NAME takes the CA of a platform.',
  },
  AIOT_PORT_IN_USE: {
    exit: 1,
    family: 'user',
    about: 'Another program listens on this port.',
    next: 'Choose another port; 0 takes any free one.',
  },
  AIOT_PRECONDITION_FAILED: {
    exit: 6,
    family: 'user',
    about: 'What was to be changed is not as the request expected: somebody else changed it meanwhile.',
    next: 'Read it again, look at what is different, and send the change with its new ETag in If-Match.',
  },
  AIOT_PROGRAM_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'A program that aiot runs (a native device, or one that messages are given to: exec:, gpioset of gpio:) ended by itself, or took too long.',
    next: 'What it said last is in the message; try it by hand as the same user.',
  },
  AIOT_PROGRAM_NOT_FOUND: {
    exit: 4,
    family: 'outside',
    about: 'A program that is needed here is not installed, not on the PATH, or may not be run.',
    next: 'Install it, or write its whole path.',
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
    next: 'Name the folder that has one with --project DIR, or make one: aiot init DIR --template har-imu',
  },
  AIOT_PROOF_INVALID: {
    exit: 5,
    family: 'outside',
    about: 'What a device proves of its update is not signed by the key of its certificate.',
    next: 'Somebody may speak in its name: aiot device show NAME, then aiot device rotate or revoke NAME.',
  },
  AIOT_PROOF_MISMATCH: {
    exit: 5,
    family: 'outside',
    about: 'What a device has signed of its update is something else than what it reports, or was offered.',
    next: 'Look at its log: aiot stream tail, then aiot ota retry ID; a device that goes on so is to be revoked.',
  },
  AIOT_PROOF_MISSING: {
    exit: 5,
    family: 'outside',
    about: 'A rollout with --require-proof takes no commit without a signature of the device.',
    next: 'Give the device a certificate (aiot device rotate NAME), or start without --require-proof.',
  },
  AIOT_PROOF_REPLAYED: {
    exit: 5,
    family: 'outside',
    about: 'What a device proves of its update is older than what it has proved already.',
    next: 'Somebody may repeat what it said: aiot device show NAME, then aiot device rotate NAME.',
  },
  AIOT_PROVISION_RUNNING: {
    exit: 1,
    family: 'user',
    about: 'Another run provisions devices for this platform already; nothing was made.',
    next: 'Wait for it to end, and repeat: what it has made into the same folder is skipped.',
  },
  AIOT_QUANTIZE_LOSS: {
    exit: 6,
    family: 'user',
    about:
      'No quantization that was tried keeps the accuracy of the float network within --max-loss. Nothing was written.',
    next: 'Allow more with --max-loss, give more rows, or train longer: a network that is sure of itself loses less.',
  },
  AIOT_QUANTIZE_UNFIT: {
    exit: 2,
    family: 'user',
    about: 'The network holds something that cannot be quantized to int8: an operator, a type or a value.',
    next: 'Give the float network that aiot model train wrote.',
  },
  AIOT_RATE_LIMITED: {
    exit: 1,
    family: 'outside',
    about: 'The platform was asked more often than it lets one address or token ask.',
    next: 'Wait as long as Retry-After says, and ask again.',
  },
  AIOT_RECORDING_EXISTS: {
    exit: 2,
    family: 'user',
    about: 'There is a recording of this name already; nothing was written.',
    next: 'Rename the file, or remove the recording that is there.',
  },
  AIOT_RECORDING_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'The dataset has no recording of this name.',
    next: 'aiot data list',
  },
  AIOT_RECORDING_UNFIT: {
    exit: 2,
    family: 'user',
    about: "A recording does not have the fields or the rate that the device's model takes.",
    next: "Record with the fields and the rate of the project's aiot.yaml.",
  },
  AIOT_REQUEST_INVALID: {
    exit: 2,
    family: 'user',
    about: 'A request to the platform has a value that does not fit.',
    next: 'Mend what it names: the platform’s /openapi.json describes each request. Where it was a command that asked so, use one version of aiot on both sides.',
  },
  AIOT_REQUEST_TOO_LARGE: {
    exit: 2,
    family: 'user',
    about: 'A request, or a part of it, is larger than the platform takes there.',
    next: 'Send less at once; docs/platform.md has the limits.',
  },
  AIOT_ROLLOUT_ABORTED: {
    exit: 6,
    family: 'user',
    about: 'Somebody ended the rollout before its end.',
    next: 'aiot ota report ID tells which devices have which version by now.',
  },
  AIOT_ROLLOUT_APPROVER: {
    exit: 5,
    family: 'user',
    about: 'A rollout was approved by who started it.',
    next: 'Somebody else with the role operator has to: aiot ota approve ID.',
  },
  AIOT_ROLLOUT_DEADLINE: {
    exit: 124,
    family: 'outside',
    about: 'A device had not finished its update by the deadline of the rollout.',
    next: 'aiot device show NAME tells when it was last seen; deploy again when it is back.',
  },
  AIOT_ROLLOUT_EMPTY: {
    exit: 4,
    family: 'user',
    about: 'No device that can run this model matches the selector.',
    next: 'aiot device list shows the devices and their types.',
  },
  AIOT_ROLLOUT_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'A rollout ended and no device, or not every device, runs the new version.',
    next: 'aiot device list shows each device and the error it reported.',
  },
  AIOT_ROLLOUT_FAILURES: {
    exit: 6,
    family: 'outside',
    about: 'More devices of a wave failed than the rollout allows, so it stopped itself: nobody else begins.',
    next: 'aiot ota status ID shows who failed and why; then aiot ota resume, rollback or abort.',
  },
  AIOT_ROLLOUT_MISREPORTED: {
    exit: 1,
    family: 'outside',
    about: 'A device says it committed another release than the one that it was offered.',
    next: 'Look at its log, and deploy again.',
  },
  AIOT_ROLLOUT_NO_WAY_BACK: {
    exit: 2,
    family: 'user',
    about: 'A rollout was started without a release that its devices could go back to.',
    next: 'Start one of the older version: it is signed anew. Give --rollback-to when you start the next one.',
  },
  AIOT_ROLLOUT_OVERLAP: {
    exit: 6,
    family: 'user',
    about: 'A device of the rollout is in another one of higher priority that has not ended.',
    next: 'Wait for that one, abort it, leave its devices out, or give a --priority that is as high.',
  },
  AIOT_ROLLOUT_PAUSED: {
    exit: 6,
    family: 'user',
    about: 'Somebody paused the rollout.',
    next: 'aiot ota resume ID goes on.',
  },
  AIOT_ROLLOUT_PLAN: {
    exit: 2,
    family: 'user',
    about:
      'A file is no plan of a rollout, or the devices that it was made for are not those that its selector matches now.',
    next: 'Make the plan anew: aiot ota plan.',
  },
  AIOT_ROLLOUT_ROLLED_BACK: {
    exit: 6,
    family: 'user',
    about: 'Somebody had the devices of the rollout go back to the release before.',
    next: 'aiot ota report ID tells which devices went back.',
  },
  AIOT_ROLLOUT_SHADOW: {
    exit: 6,
    family: 'outside',
    about:
      'A new model did not do well enough beside the one in use, or was not measured, so the rollout stopped itself.',
    next: 'aiot ota status ID shows what was measured; then aiot ota retry, resume (it is borne) or abort.',
  },
  AIOT_ROLLOUT_SILENT: {
    exit: 6,
    family: 'outside',
    about:
      'Devices of a wave committed the release and are not there any more, so the rollout stopped itself.',
    next: 'Look at one of them before you go on: aiot device show NAME.',
  },
  AIOT_ROLLOUT_STATE: {
    exit: 6,
    family: 'user',
    about: 'A rollout is in a state in which the command means nothing.',
    next: 'aiot ota status ID shows its state; docs/ota.md tells what each takes.',
  },
  AIOT_ROLLOUT_SUCCESS: {
    exit: 6,
    family: 'outside',
    about:
      'Too few devices of a wave committed the release for the next wave to open, so the rollout stopped itself.',
    next: 'aiot ota status ID shows who did not take it and why; then aiot ota resume, retry or abort.',
  },
  AIOT_ROLLOUT_SUPERSEDED: {
    exit: 1,
    family: 'user',
    about: 'A newer rollout took the device over before this one had ended there.',
    next: 'Nothing: the newer rollout counts.',
  },
  AIOT_ROUTE_INVALID: {
    exit: 2,
    family: 'user',
    about:
      'A file of routes, or the one line of a bridge, has something that cannot be: an unknown field, a wrong value, a variable without a value.',
    next: 'Correct the place that is named; docs/streams.md describes every field.',
  },
  AIOT_ROUTE_MESSAGE: {
    exit: 1,
    family: 'user',
    about:
      'A route cannot do its work with one message: an expression, the decoding or the processor failed. With onError: retry it stops there, so that nothing is lost.',
    next: 'Set onError: skip or {dead-letter: URL}, or correct the expression; aiot stream route test FILE tries it on cases.',
  },
  AIOT_RUN_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'There is no such run in the history of this project’s pipeline, or it has not been run yet.',
    next: 'aiot pipeline history lists the runs.',
  },
  AIOT_SELECTOR_INVALID: {
    exit: 2,
    family: 'user',
    about: 'A selector of devices could not be read.',
    next: 'Write all, or terms such as type=virtual and name!=motor-1.',
  },
  AIOT_SENSOR_BUSY: {
    exit: 1,
    family: 'outside',
    about: 'Another program reads this sensor, and only one can.',
    next: 'End it, then try again: sudo fuser -v and the device shows which it is.',
  },
  AIOT_SENSOR_DENIED: {
    exit: 5,
    family: 'outside',
    about: 'You may not read this sensor, or not set it up.',
    next: 'Run it as a user that may: groups audio (microphone), i2c (chips), iio with a udev rule (Industrial I/O); aiot loop install makes such a service.',
  },
  AIOT_SENSOR_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'A sensor does not do what it should: it fails its self-test, refuses a setting, or what it sends cannot be right.',
    next: 'Check its wiring and supply, and the settings in its URL; aiot loop check tries each step.',
  },
  AIOT_SENSOR_IDENTITY: {
    exit: 1,
    family: 'outside',
    about: 'The chip at this address is another one than was asked for: its identity register says so.',
    next: 'Name the chip that is there in the URL of the sensor, or choose another address: ?address=0x6b',
  },
  AIOT_SENSOR_LOST: {
    exit: 1,
    family: 'outside',
    about: 'A sensor that gave samples is gone, or gives no more.',
    next: 'Plug it in again: a running loop takes it up by itself.',
  },
  AIOT_SENSOR_MISSING: {
    exit: 2,
    family: 'user',
    about: 'Nobody said where samples come from.',
    next: 'Name the sensor with --sensor URL or as loop.sensor in aiot.yaml, or take a made-up one: --simulate',
  },
  AIOT_SENSOR_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'There is no sensor of this name on this machine.',
    next: 'aiot loop check says what there is; check the wiring, and that the bus or the driver is switched on.',
  },
  AIOT_SENSOR_TOOL: {
    exit: 1,
    family: 'outside',
    about: 'A program that reads this sensor is not installed here.',
    next: 'For the microphone: sudo apt install alsa-utils',
  },
  AIOT_SENSOR_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'What a sensor measures is not what the model takes: another field, another unit, or another rate.',
    next: 'Say which is which with ?map=x:ax,y:ay in its URL and in what unit with ?units=ax:m/s2, or change stream.fields in aiot.yaml.',
  },
  AIOT_SENSOR_URL: {
    exit: 2,
    family: 'user',
    about: "A sensor's URL could not be read, or says something this sensor does not know.",
    next: 'Write it such as i2c://1/lsm6ds3tr-c?rate=104, iio://lsm6dsox_accel or alsa://default?rate=16000.',
  },
  AIOT_SERIAL_AMBIGUOUS: {
    exit: 2,
    family: 'user',
    about: 'Several serial ports could be meant, and none is guessed.',
    next: 'Name one with --port, or take them all with --all; aiot device ports lists them.',
  },
  AIOT_SERIAL_BAUD: {
    exit: 2,
    family: 'user',
    about: 'The port or its driver does not do this speed.',
    next: 'Choose a usual one: 115200, 230400, 460800, 921600.',
  },
  AIOT_SERIAL_BUSY: {
    exit: 1,
    family: 'outside',
    about: 'Another program has the serial port open.',
    next: 'End it (often a serial monitor), then repeat the command.',
  },
  AIOT_SERIAL_DENIED: {
    exit: 5,
    family: 'outside',
    about: 'You may not open this serial port.',
    next: 'On Linux: sudo usermod -aG dialout $USER, then log in again; or a udev rule: SUBSYSTEM=="tty", ATTRS{idVendor}=="303a", TAG+="uaccess"',
  },
  AIOT_SERIAL_LOST: {
    exit: 1,
    family: 'outside',
    about:
      'The serial line went away in the middle of the work: cable pulled, adapter reset, or the far end closed.',
    next: 'Plug it in again and repeat the command; what was written is checked and skipped.',
  },
  AIOT_SERIAL_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'There is no serial port of this name, or none at all.',
    next: 'aiot device ports',
  },
  AIOT_SIGNATURES_MISSING: {
    exit: 6,
    family: 'user',
    about:
      'The trust root wants more than one signature on a release, and this one has not all of them yet. Nothing is published.',
    next: 'Hand the manifest file to another of those who may sign: aiot trust sign FILE',
  },
  AIOT_SIGNATURE_INVALID: {
    exit: 5,
    family: 'user',
    about:
      'A manifest is not signed by enough of the keys that the trust root names for it, or is to be signed again and was never signed by the key that would do so.',
    next: 'Push with the signing key of this platform; aiot context list shows which platform is in use.',
  },
  AIOT_SPOOL_BUSY: {
    exit: 1,
    family: 'user',
    about: 'Another process is working with this spool.',
    next: 'End the other aiot, or give this route a spool folder of its own.',
  },
  AIOT_STREAM_DECODE: {
    exit: 1,
    family: 'outside',
    about: 'A payload is not in the format it was to be decoded from.',
    next: 'Look at it with aiot stream tail URL --format hex, and choose --decode accordingly.',
  },
  AIOT_STREAM_EVALUATION: {
    exit: 1,
    family: 'outside',
    about: 'An expression cannot be computed for a message, such as a comparison of a text with a number.',
    next: 'Look at the message with aiot stream tail URL --format json; $number(x) and $exists(x) help.',
  },
  AIOT_STREAM_EXPECTED: {
    exit: 6,
    family: 'outside',
    about: 'A stream came to its end, and no message was as --expect said.',
    next: 'Look at what came with aiot stream tail URL.',
  },
  AIOT_STREAM_EXPRESSION: {
    exit: 2,
    family: 'user',
    about: 'An expression is not JSONata.',
    next: 'Write it as in --where \'temperature > 80 and $topic = "plant/1"\'; https://docs.jsonata.org has the language.',
  },
  AIOT_STREAM_LOGIN_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'No credentials are kept for this endpoint.',
    next: 'aiot stream login tells which ones are.',
  },
  AIOT_STREAM_MESSAGE_REFUSED: {
    exit: 1,
    family: 'outside',
    about:
      'A broker will not store a message as it is: too large, a key where none may be or none where one must be.',
    next: 'Make the message smaller, or change the topic (such as max.message.bytes) with aiot stream create.',
  },
  AIOT_STREAM_NEVER: {
    exit: 6,
    family: 'outside',
    about: 'A message came that --never says must not come.',
    next: 'The message is printed; look at who sent it.',
  },
  AIOT_STREAM_OVERFLOW: {
    exit: 1,
    family: 'outside',
    about:
      'Messages came faster than they could be taken, from a broker that keeps none for slow readers, and none was to be lost silently.',
    next: 'Read from a log (JetStream, Kafka) or at QoS 1, or let messages be dropped and counted.',
  },
  AIOT_STREAM_REFUSED: {
    exit: 1,
    family: 'outside',
    about:
      'The far side of a stream (HTTP, S3, TCP, Telegram) answered a message with no. Where it says that it may take it later, the message is kept and sent again.',
    next: 'Read what it answered; a message that it never takes goes where onError of the route says.',
  },
  AIOT_STREAM_SCHEME: {
    exit: 2,
    family: 'user',
    about: 'A stream URL has a scheme that no adapter speaks, or one that cannot be used in this direction.',
    next: 'Use one of the schemes named.',
  },
  AIOT_STREAM_SPEC_INVALID: {
    exit: 2,
    family: 'user',
    about: 'A file for aiot stream create is not as it has to be, or asks for what its broker does not have.',
    next: 'Look at the places named; docs/streams.md has an example for each broker.',
  },
  AIOT_STREAM_TOPIC_NOT_FOUND: {
    exit: 4,
    family: 'outside',
    about: 'The broker has no such topic, and does not make it for who reads.',
    next: 'aiot stream ls shows the topics; aiot stream create makes one.',
  },
  AIOT_STREAM_UNFIT: {
    exit: 1,
    family: 'user',
    about:
      'A message does not fit what it is to be written to: a row without the columns of its file, text where a JSON object is expected. Writing it again does not help.',
    next: 'Give it the form that is expected with --map, or leave such messages out: onError: skip, or a dead letter.',
  },
  AIOT_STREAM_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about:
      'The far side of a stream (HTTP, S3, TCP, Telegram) does not answer, or its TLS certificate is not signed by a CA that is trusted here.',
    next: 'Check the address, and that it runs; name the CA with --ca FILE.',
  },
  AIOT_STREAM_URL: {
    exit: 2,
    family: 'user',
    about: 'A stream URL does not have the form its scheme needs.',
    next: 'Write it as mqtt://HOST:PORT/TOPIC, aiot:///TOPIC, file:///PATH or stdin:',
  },
  AIOT_TEMPLATE_NOT_FOUND: {
    exit: 2,
    family: 'user',
    about: 'No template has this name.',
    next: 'aiot init DIR --template har-imu',
  },
  AIOT_TFLITE_INPUT: {
    exit: 2,
    family: 'user',
    about:
      'The values given to a network do not fit its input: another length, another type, or not a number.',
    next: 'Compare the values with the input that aiot model inspect FILE shows.',
  },
  AIOT_TFLITE_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'A .tflite file is cut off, damaged or contradicts itself.',
    next: 'Make the file again: aiot model train, then aiot model quantize.',
  },
  AIOT_TFLITE_UNSUPPORTED: {
    exit: 2,
    family: 'user',
    about: 'A .tflite file uses an operator, a type or an option that aiot does not know.',
    next: 'Use dense, convolution and pooling layers, a fixed batch of 1, and float32 or full int8.',
  },
  AIOT_TIMEOUT: {
    exit: 124,
    family: 'outside',
    about: 'It took longer than the time given.',
    next: 'Give more time with --timeout.',
  },
  AIOT_TIMESTAMP_EXPIRED: {
    exit: 5,
    family: 'outside',
    about:
      'The newest timestamp that a device is given has expired: nobody knows whether it is kept from newer versions.',
    next: 'Look at what stands between device and platform, and at both their clocks.',
  },
  AIOT_TIMESTAMP_INVALID: {
    exit: 5,
    family: 'outside',
    about: 'A timestamp is missing, or not signed by the keys that the root names for it.',
    next: 'aiot trust status tells whether the platform has that key.',
  },
  AIOT_TIMESTAMP_ROLLBACK: {
    exit: 5,
    family: 'outside',
    about: 'A device was given an older timestamp than it has seen.',
    next: 'Look at what stands between device and platform; after a restored backup: aiot trust rotate --role timestamp',
  },
  AIOT_TOKEN_INVALID: {
    exit: 5,
    family: 'user',
    about: 'The token is missing, wrong or expired.',
    next: 'aiot up --new-token makes a new one.',
  },
  AIOT_TRAINING_COMMAND: {
    exit: 1,
    family: 'outside',
    about: 'The program that model.train.command names could not be started, or failed.',
    next: 'Run it by hand; docs/project.md tells what it is given and what it has to leave.',
  },
  AIOT_TRAINING_DATA_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'The recordings cannot be trained on: none, one class only, an unknown label, too few to split, or not a number.',
    next: 'aiot data list, then aiot data check',
  },
  AIOT_TRAINING_DIVERGED: {
    exit: 1,
    family: 'outside',
    about: 'Training came to no usable weights: the loss is not a number.',
    next: 'Lower model.train.learningRate in aiot.yaml, or look for huge values with aiot data check.',
  },
  AIOT_TRAINING_ENDED: {
    exit: 1,
    family: 'outside',
    about: 'Training in a process of its own ended before it was done: somebody ended it, or memory ran out.',
    next: 'Look at the memory (free -m), or train on another machine and take the file along: --model FILE.',
  },
  AIOT_TRUST_CONFLICT: {
    exit: 1,
    family: 'user',
    about: 'The platform has a trust root of this or a higher version already.',
    next: 'Use the signing key that was registered first.',
  },
  AIOT_TRUST_KEY_UNKNOWN: {
    exit: 4,
    family: 'user',
    about: 'No role of the newest root has this key.',
    next: 'aiot trust status',
  },
  AIOT_TRUST_MISSING: {
    exit: 4,
    family: 'user',
    about: 'The platform has no trust root yet, so nobody can sign for its devices.',
    next: 'aiot up --new-token, on the machine and as the user that is to sign.',
  },
  AIOT_TRUST_ROOT_BEHIND: {
    exit: 5,
    family: 'outside',
    about: 'The platform says of a newer root than the device is given: somebody keeps it back.',
    next: 'Look at what stands between device and platform; aiot trust status tells the newest root.',
  },
  AIOT_TRUST_ROOT_EXPIRED: {
    exit: 6,
    family: 'user',
    about: 'The newest root of trust has expired: nothing signed under it is taken until there is a new one.',
    next: 'aiot trust rotate --role root --root-key FILE',
  },
  AIOT_TRUST_SIGNATURES: {
    exit: 5,
    family: 'user',
    about: 'A root is signed by too few root keys: it wants those of the root before it and its own.',
    next: 'Give more of the offline keys: --root-key FILE --root-key FILE',
  },
  AIOT_TRUST_VERSION: {
    exit: 1,
    family: 'user',
    about: 'Roots are taken one after the other, and this one is not the next.',
    next: 'aiot trust status tells the newest; make the next one from it.',
  },
  AIOT_UPDATE_DEVICE_TYPE: {
    exit: 5,
    family: 'user',
    about: 'A manifest is not meant for devices of this type.',
    next: 'Push the model with the device type among its types.',
  },
  AIOT_UPDATE_DOWNLOAD: {
    exit: 1,
    family: 'outside',
    about: 'A device could not download a manifest or a bundle.',
    next: 'Check the platform and the network, then roll it out again.',
  },
  AIOT_UPDATE_EXPIRED: {
    exit: 5,
    family: 'user',
    about: 'A manifest had expired when the device received it.',
    next: 'Sign it anew by pushing or deploying again.',
  },
  AIOT_UPDATE_FLOOR: {
    exit: 5,
    family: 'user',
    about: 'A manifest is below the floor that a device has committed to, so it is never accepted.',
    next: 'Sign the version anew: it gets a sequence above the floor.',
  },
  AIOT_UPDATE_HEARTBEAT: {
    exit: 1,
    family: 'outside',
    about: 'A device on trial could not reach the broker, and rolled back.',
    next: 'Check the network of the device, then roll it out again.',
  },
  AIOT_UPDATE_INTERFACE: {
    exit: 5,
    family: 'user',
    about: 'The firmware of a device cannot run a network of this type, or with such an answer.',
    next: 'Quantize to int8, or roll it out to devices with newer firmware.',
  },
  AIOT_UPDATE_MISMATCH: {
    exit: 5,
    family: 'user',
    about:
      'A manifest is not the one that the device was told to expect, or that was asked for to be signed again.',
    next: 'Roll it out again; if it stays, the platform serves a wrong manifest.',
  },
  AIOT_UPDATE_SEQUENCE: {
    exit: 5,
    family: 'user',
    about: 'A manifest is not newer than what a device has committed.',
    next: 'Sign the version anew: it gets a higher sequence.',
  },
  AIOT_UPDATE_SIZE: {
    exit: 5,
    family: 'user',
    about: 'A bundle is larger than a slot of the device, or has not the size its manifest says.',
    next: 'Make the bundle smaller, or push it again.',
  },
  AIOT_UPDATE_TRIAL: {
    exit: 1,
    family: 'outside',
    about: 'A device restarted again and again during the trial of a version, and rolled back.',
    next: 'Look at the log of the device: the model may need more memory than it has.',
  },
  AIOT_UPDATE_UNPUBLISHED: {
    exit: 5,
    family: 'user',
    about:
      'A release is rightly signed, and the platform has not published it: its key may be in other hands.',
    next: 'aiot trust revoke --key ID, unless it is known who signed it.',
  },
  AIOT_UPLOAD_OFFSET: {
    exit: 1,
    family: 'user',
    about: 'A piece of an upload does not follow what the platform has of it.',
    next: 'Ask how far it has come (HEAD), and go on from there.',
  },
  AIOT_UPLOAD_VERSION: {
    exit: 1,
    family: 'user',
    about: 'A resumable upload was begun or gone on with by another version of the tus protocol than 1.0.0.',
    next: 'Use a client of tus 1.0.0, or send Tus-Resumable: 1.0.0.',
  },
  AIOT_USAGE: {
    exit: 2,
    family: 'user',
    about: 'The command line has an unknown, missing or malformed argument or flag.',
    next: 'Add --help to the command to see what it takes.',
  },
  AIOT_USER_EXISTS: {
    exit: 2,
    family: 'user',
    about: 'A user of this name is there already.',
    next: 'Choose another name; aiot user list shows those taken.',
  },
  AIOT_VERSION_CONFLICT: {
    exit: 1,
    family: 'user',
    about: 'The version or sequence is not the next one: somebody else was faster.',
    next: 'Push again: it takes the next version.',
  },
  AIOT_WEBHOOK_TARGET: {
    exit: 2,
    family: 'user',
    about:
      'A webhook may not have this target: it is no https URL, or it leads into a private network or to the platform itself, where an outsider could reach what is not meant for outsiders.',
    next: 'Give an https URL that the internet knows; for a target inside: aiot webhook add URL --allow-private',
  },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;
