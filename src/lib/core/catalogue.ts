/**
 * Every error that users can see, sorted by code. `aiot error CODE` prints an entry; docs/reference/errors.md is generated from it.
 * Families: `user` = invalid input, `outside` = something that this program communicates with failed, `bug` = a bug in this program.
 */
export interface CatalogueEntry {
  /** Exit code: 1 failed · 2 usage · 3 partly failed · 4 not found · 5 not allowed · 6 a check or gate failed · 124 timed out · 130 interrupted. */
  exit: 1 | 2 | 3 | 4 | 5 | 6 | 124 | 130;
  family: 'user' | 'outside' | 'bug';
  /** Meaning of the error, in one or two sentences. */
  about: string;
  /** The next step, as a command or a sentence. */
  next: string;
  /** Next steps for particular kinds of objects, if they differ. */
  subjects?: Readonly<Record<string, string>>;
}

export const catalogue = {
  AIOT_ACTION_ENDED: {
    exit: 1,
    family: 'user',
    about:
      'A client of the Direct Device Integration (DDI) API reported on an action that has already ended (installed, failed or canceled).',
    next: 'No action is needed: the client gets the current action at its next poll. To see the rollout, run `aiot rollout show ID`.',
  },
  AIOT_ACTION_STATE: {
    exit: 1,
    family: 'user',
    about:
      'A client of the Direct Device Integration (DDI) API confirmed a cancellation that was never requested.',
    next: 'No action is needed: the update continues. To see the rollout, run `aiot rollout show ID`.',
  },
  AIOT_ALARM_TARGET: {
    exit: 2,
    family: 'user',
    about: 'Alarms cannot be sent to this target: its URL is invalid, or the target rejected a message.',
    next: 'Compare the URL with the examples of `aiot alarm target add --help`, and run `aiot alarm target test NAME`.',
  },
  AIOT_ALREADY_EXISTS: {
    exit: 2,
    family: 'user',
    about: 'The name, folder or board is already in use. The existing item was not changed or overwritten.',
    next: 'Choose another name, or remove the existing item.',
    subjects: {
      context:
        'Choose another name with --context, or remove the existing one with `aiot context remove NAME`.',
      device: 'Choose another name. To see the names in use, run `aiot device list`.',
      identity: 'Choose another folder with --out. An identity is never overwritten.',
      key: 'Choose another folder with --out. A private key is never overwritten.',
      recording: 'Choose another name for the new recording. Existing recordings are never overwritten.',
      user: 'Choose another name. To see the names in use, run `aiot user list`.',
    },
  },
  AIOT_APPROVAL_NEEDED: {
    exit: 5,
    family: 'user',
    about: 'An agent called a command that makes changes, without approval for this exact call.',
    next: 'Ask the user to run `aiot mcp approve ID`, which prints a token for one call.',
  },
  AIOT_ARGO_CONFLICT: {
    exit: 1,
    family: 'outside',
    about:
      'The Argo server already has a different object with that name, or another client changed the object at the same time.',
    next: 'Repeat the command. To list the existing objects, run `kubectl -n NAMESPACE get workflows,workflowtemplates`.',
  },
  AIOT_ARGO_DENIED: {
    exit: 5,
    family: 'outside',
    about:
      'The Argo server rejected the token: it is missing or expired, or its service account has no role for workflows in that namespace.',
    next: 'Run `kubectl -n NAMESPACE create token SERVICE-ACCOUNT > token` and add --argo-token-file token. For the role, run `aiot docs pipeline-argo`.',
  },
  AIOT_ARGO_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The Argo server rejected a request, or its response is not a valid Argo response.',
    next: "For details, run `kubectl -n argo logs deployment/argo-server`. The message contains the server's reply.",
  },
  AIOT_ARGO_TEMPLATE: {
    exit: 6,
    family: 'user',
    about:
      'The WorkflowTemplate in the cluster is missing or out of date, so the cluster would run different steps from those in aiot.yaml.',
    next: 'Run `aiot pipeline run --engine argo --apply`; or render it with `aiot pipeline render --target argo --out argo` and apply it with kubectl.',
  },
  AIOT_ARGO_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: 'The Argo server did not respond. Workflows that are already submitted continue to run.',
    next: 'Check --argo-server. To reach the server from this machine, run `kubectl -n argo port-forward svc/argo-server 2746`.',
  },
  AIOT_AUDIT_BROKEN: {
    exit: 6,
    family: 'outside',
    about:
      'The audit log was changed after it was written: an entry was edited, removed or inserted, or the log was cut off.',
    next: 'Keep the data folder and stop the platform with `aiot down`. Compare the log with a file that `aiot audit export` wrote earlier, or with a backup.',
  },
  AIOT_BACKEND_MISSING: {
    exit: 1,
    family: 'outside',
    about:
      'The packages for TensorFlow.js, ai-edge-litert or a Coral Edge TPU are missing or cannot be loaded, or the Edge TPU does not respond.',
    next: 'Install the packages named in the message; or omit --backend, --runtime or --delegate.',
  },
  AIOT_BACKUP_DAMAGED: {
    exit: 6,
    family: 'outside',
    about: "Some of the platform's data is damaged, so a backup would be incomplete. No file was written.",
    next: 'Stop the platform with `aiot down`, then repair it with `aiot platform verify --repair --from BACKUP`. Or add --allow-damaged to leave out the damaged data.',
  },
  AIOT_BACKUP_MALFORMED: {
    exit: 6,
    family: 'user',
    about:
      'The file is not a valid platform backup: it is incomplete, was modified, or comes from a newer version of aiot. Nothing was restored.',
    next: 'Use another copy, or the version of aiot that made the backup. To check a backup without changing anything, run `aiot backup restore FILE --check`.',
  },
  AIOT_BACKUP_PASSPHRASE: {
    exit: 5,
    family: 'user',
    about: 'The passphrase does not decrypt the backup. Nothing was restored.',
    next: 'Provide the passphrase used for the backup in AIOT_BACKUP_PASSPHRASE or with --passphrase-file FILE.',
  },
  AIOT_BATCH_INVALID: {
    exit: 5,
    family: 'user',
    about: 'The batch key of a device is not the key of any batch of this platform.',
    next: 'Use the batch file from `aiot device batch create NAME --out FILE`, unchanged, with the platform that made it.',
  },
  AIOT_BIRTH_MISMATCH: {
    exit: 6,
    family: 'user',
    about:
      'A device does not match its provisioning record: the board, its certificate or its flash contents differ.',
    next: 'If you replaced the board on purpose, run `aiot device replace NAME`. If not, revoke its access with `aiot device revoke NAME`.',
  },
  AIOT_BIRTH_MISSING: {
    exit: 4,
    family: 'user',
    about:
      'The platform has no birth certificate (signed record) for this device, because it was provisioned without a signing key.',
    next: 'Rotate its certificate with `aiot device rotate NAME --out DIR`, which also writes a birth certificate.',
  },
  AIOT_BLOBS_UNAVAILABLE: {
    exit: 1,
    family: 'outside',
    about:
      'The S3 bucket for blobs does not respond, denies the platform access, or does not retain stored objects.',
    next: 'Check the server, the bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with `aiot stream check s3://BUCKET?endpoint=URL`.',
  },
  AIOT_BLOB_DAMAGED: {
    exit: 1,
    family: 'outside',
    about:
      'A stored model, release or other blob does not match its digest: it is corrupted on the disk or in the bucket. None of it was sent.',
    next: 'Stop the platform, then run `aiot platform verify --repair --from BACKUP`. Pushing the same content again also repairs it.',
  },
  AIOT_BROKER_REFUSED: {
    exit: 5,
    family: 'outside',
    about:
      'A broker or server rejected this client: it does not accept the credentials, certificate or protocol version, or does not permit the topic.',
    next: 'Check the certificate, token or password, and check that this client is allowed to use the topic.',
  },
  AIOT_BROKER_RIGHTS: {
    exit: 5,
    family: 'user',
    about:
      'A user or token is limited to more devices than a NATS server accepts, because its permissions list each of them. The platform logs this error; the client sees only a rejection.',
    next: 'Use a narrower selector: `aiot user update NAME --selector SELECTOR`, or create one token per group of devices.',
  },
  AIOT_BROKER_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about:
      'The message broker did not respond, closed the connection or is temporarily unavailable, or its TLS certificate is not trusted.',
    next: "Check the URL and that the broker is running. The platform's own broker starts with `aiot up`. For a private CA, add --ca FILE.",
  },
  AIOT_BUG: {
    exit: 1,
    family: 'bug',
    about: 'An internal error occurred in aiot.',
    next: 'Run the command again with --debug and report the output.',
  },
  AIOT_BUNDLE_MALFORMED: {
    exit: 2,
    family: 'user',
    about:
      'A file is not a model bundle (.aiot), or the bundle is damaged, incomplete, or in a version that this aiot does not support.',
    next: 'Create it again with `aiot model push`, or download it again with `aiot model pull NAME@VERSION --out DIR`. For a newer bundle version, use a newer aiot.',
  },
  AIOT_BUNDLE_TAMPERED: {
    exit: 6,
    family: 'user',
    about:
      'A file in a signed bundle is missing, was modified or damaged after signing, or belongs to another version.',
    next: 'Do not use the bundle. Download it again with `aiot model pull NAME@VERSION --out DIR`.',
  },
  AIOT_CAMERA_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'The camera returns no images: it is missing, in use by another program, or does not support the requested size or format.',
    next: 'Check that the camera is connected and that no other program is using it. List its formats with `v4l2-ctl --list-formats-ext`, then select one, such as ?size=640x480&input=yuyv422.',
  },
  AIOT_CAMERA_FFMPEG: {
    exit: 1,
    family: 'outside',
    about: 'Reading a camera requires ffmpeg, which is not installed or does not start.',
    next: 'Install it with apt install ffmpeg, brew install ffmpeg, or winget install ffmpeg.',
  },
  AIOT_CAMERA_LIBCAMERA: {
    exit: 1,
    family: 'outside',
    about:
      'Reading the Raspberry Pi camera requires rpicam-vid (libcamera-vid on older systems), which is not installed or does not start.',
    next: 'Run `sudo apt install rpicam-apps`. For a USB camera, use camera:///dev/video0.',
  },
  AIOT_CA_LOCKED: {
    exit: 5,
    family: 'user',
    about:
      "The key of the platform's certificate authority is encrypted, and the passphrase is missing or wrong.",
    next: 'Set AIOT_CA_PASSPHRASE to the passphrase that encrypts the key, then start the platform again.',
  },
  AIOT_CERTIFICATE_REFUSED: {
    exit: 5,
    family: 'user',
    about:
      "The platform rejected a device's certificate: the certificate is unknown, expired or rotated, or the device is revoked, suspended or replaced.",
    next: "As an operator, check the device's state and certificate with `aiot device show NAME`. Then run `aiot device resume NAME`, or enroll it again with `aiot device provision NAME`.",
  },
  AIOT_CERTIFICATE_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      "The certificate or key for the platform's listeners is unusable: damaged, expired, not a server certificate, or not a matching pair.",
    next: "Provide a PEM chain that starts with the server's certificate, and its private key without a passphrase.",
  },
  AIOT_CHECKSUM_MISMATCH: {
    exit: 1,
    family: 'outside',
    about: 'An upload chunk does not match its checksum. The chunk was discarded.',
    next: 'Send the chunk again.',
  },
  AIOT_CHIP_BOOT_MODE: {
    exit: 1,
    family: 'outside',
    about:
      'The chip started its program instead of the bootloader: its boot pin (GPIO0, or GPIO9 on a C3) was high at reset.',
    next: 'Hold BOOT, press and release RESET (or plug in the cable again), release BOOT, and repeat the command.',
  },
  AIOT_CHIP_BROWNOUT: {
    exit: 1,
    family: 'outside',
    about: 'The chip keeps resetting because its supply voltage drops.',
    next: 'Use a shorter or better cable, a port with more current or a powered hub, and disconnect loads from the board.',
  },
  AIOT_CHIP_CRASHED: {
    exit: 1,
    family: 'outside',
    about: 'The chip or its bootloader crashed, or the chip was reset during the operation.',
    next: 'Repeat the command. If the chip crashes again, try --no-stub or a lower --baud.',
  },
  AIOT_CHIP_DEAF: {
    exit: 1,
    family: 'outside',
    about: 'The chip is waiting for a download, but does not receive any data.',
    next: "Check the wire from the adapter's TX to the chip's RX, and make sure that nothing else drives that pin.",
  },
  AIOT_CHIP_GARBLED: {
    exit: 1,
    family: 'outside',
    about:
      "The received data is not the chip's response: it is noise, text at a different baud rate, or an echo of the sent data.",
    next: 'Repeat with --baud 115200. Check the cable, the ground wire and, on older boards, whether the crystal is 26 MHz.',
  },
  AIOT_CHIP_LOCKED: {
    exit: 5,
    family: 'outside',
    about: "The chip's fuses do not allow this operation: download mode is disabled or in secure mode.",
    next: 'Update the chip over the air. To see what its fuses allow, run `aiot board info`.',
  },
  AIOT_CHIP_MISMATCH: {
    exit: 2,
    family: 'user',
    about: 'The chip at this port is not the one you specified.',
    next: 'Omit --chip to accept the connected chip, or choose another port. To list the ports, run `aiot board ports`.',
  },
  AIOT_CHIP_SILENT: {
    exit: 1,
    family: 'outside',
    about: 'The chip sent no data at all: no boot text and no response.',
    next: 'Check the port, the power and the cable (some cables only charge). Hold BOOT while you press RESET, then try again.',
  },
  AIOT_CHIP_STOPPED: {
    exit: 1,
    family: 'outside',
    about: 'The chip stopped responding, because of a problem with the cable, the power or the bootloader.',
    next: 'Check the cable and power, reset the board, and repeat the command. Data already written is verified and skipped.',
  },
  AIOT_CHIP_UNKNOWN: {
    exit: 1,
    family: 'outside',
    about: 'A chip responded, but aiot does not support it or cannot identify it.',
    next: 'If aiot supports the chip, specify it with --chip (for the list, see `aiot flash --help`).',
  },
  AIOT_CLAIM_INVALID: {
    exit: 5,
    family: 'user',
    about: 'A one-time enrollment token is invalid, already used, expired, or replaced by a newer one.',
    next: 'Create a new token with `aiot device claim NAME --type TYPE`.',
  },
  AIOT_CLAMP_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'No burden resistor can be computed: the clamp has a voltage output or is too small, or the resistor is not available as a standard value.',
    next: "Use the clamp's printed ratings, as in `aiot tools burden-resistor --clamp 100A:50mA --nominal 30A`.",
  },
  AIOT_COMMAND_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'A device reported that it could not run a command.',
    next: 'The message contains the reason that the device reported. Fix the cause, and call the command again.',
  },
  AIOT_COMMAND_PARAMS: {
    exit: 2,
    family: 'user',
    about: "A command's parameters do not match the JSON Schema in its definition. Nothing was sent.",
    next: "To see the parameters of a device's commands, run `aiot device commands list NAME --json`.",
  },
  AIOT_COMMAND_REPLY: {
    exit: 1,
    family: 'outside',
    about: 'A device ran a command, but its reply does not match the JSON Schema in the definition.',
    next: "Correct the device's program, or the reply: of the command in aiot.yaml.",
  },
  AIOT_COMMAND_SCHEMA: {
    exit: 2,
    family: 'user',
    about:
      "A command's params or reply is not a valid JSON Schema (draft 2020-12), or refers to another file.",
    next: 'Correct the schema named in the message, under commands: in aiot.yaml.',
  },
  AIOT_COMMAND_UNANSWERED: {
    exit: 124,
    family: 'outside',
    about: 'A command was sent to a device, but no reply arrived in time. The device may have run it.',
    next: 'To see whether the device is online, run `aiot device show NAME`. Check its state before you call the command again.',
  },
  AIOT_COMMAND_UNKNOWN: {
    exit: 2,
    family: 'user',
    about: 'A device does not support this command, or no project defines it for devices of this type.',
    next: "To see a device's commands, run `aiot device commands list NAME`.",
  },
  AIOT_CONFIG_MALFORMED: {
    exit: 2,
    family: 'user',
    about:
      'The device configuration is not valid JSON, is too long, or has a field that is unknown, of the wrong type, or out of range.',
    next: 'Correct the configuration and push it again. For the fields, run `aiot docs protocol#configuration`.',
  },
  AIOT_CONFIG_UNFIT: {
    exit: 6,
    family: 'user',
    about:
      'A device cannot apply a configuration: its sensor or its model does not support the sample rate. It keeps the previous configuration.',
    next: 'Choose a rate that both the sensor and the model support, or deploy a model for the new rate first.',
  },
  AIOT_CONTEXT_KIND: {
    exit: 2,
    family: 'user',
    about:
      'The selected context does not support the command, because of its kind or because its platform lacks the service.',
    next: "To see each context's kind, run `aiot context list`. Choose another context with --context NAME.",
  },
  AIOT_CONTEXT_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about:
      'No context has this name, no platform has been selected yet, or the context has no broker address.',
    next: 'To start a platform on this machine, run `aiot up`. To use another one, run `aiot context add NAME --url URL`.',
  },
  AIOT_CSR_INVALID: {
    exit: 2,
    family: 'user',
    about:
      'A certificate request is malformed, does not use an ECDSA P-256 key, or is not signed by its own key.',
    next: 'Create a PEM (PKCS #10) request with an ECDSA P-256 key, and sign it with that key. Or let aiot create the key and certificate: `aiot device provision NAME --type TYPE --out DIR`.',
  },
  AIOT_CSV_COLUMNS: {
    exit: 2,
    family: 'user',
    about:
      "A table's columns are not the expected ones: some are missing, unnamed, repeated or not numeric, or there are too many.",
    next: "Use a table with the expected columns, or correct its first line. For a project's recordings, the columns are stream.fields in aiot.yaml.",
  },
  AIOT_CSV_EMPTY: {
    exit: 2,
    family: 'user',
    about: 'A file contains no rows or samples.',
    next: 'Add rows to the file, or use another file.',
  },
  AIOT_DATABASE_REFUSED: {
    exit: 5,
    family: 'outside',
    about:
      "The database rejected the connection or is unusable: wrong password, name, version or secret, missing privileges, or another platform's data.",
    next: 'Check the URL in --database, and fix the problem that the message names.',
  },
  AIOT_DATABASE_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about:
      'The database is temporarily unavailable: it does not respond, is locked or being checked, or another process changed the same record. Acknowledged data is safe. Repeat any request that was not acknowledged.',
    next: 'Check that the database is running and that --database is correct, then try again.',
  },
  AIOT_DATA_CHANGED: {
    exit: 2,
    family: 'user',
    about:
      'The files in a data folder do not match its dataset.json, or a table changed while it was being read.',
    next: 'Restore the files, or remove dataset.json and import the recordings again.',
  },
  AIOT_DATA_COLUMNS: {
    exit: 2,
    family: 'user',
    about:
      'Recordings do not have the fields declared for the stream, or a table does not have one column for each model input and one for the label.',
    next: "Compare dataset.json with stream.fields in aiot.yaml, or the table's header with the model's inputs. Name the label column with --label NAME.",
  },
  AIOT_DATA_EMPTY: {
    exit: 2,
    family: 'user',
    about: 'There are no recordings, labels, samples or complete windows to process.',
    next: 'Import recordings with `aiot data import FOLDER`, or record some with `aiot data record --label LABEL`.',
  },
  AIOT_DATA_LEAK: {
    exit: 6,
    family: 'user',
    about:
      'The training data contains copies or near-copies of test data, so the metrics would be misleading.',
    next: 'To see the affected recordings and how to fix each problem, run `aiot data check`.',
  },
  AIOT_DATA_NO_DEVICE: {
    exit: 2,
    family: 'user',
    about: 'model.split is "device", but a recording does not name the device that made it.',
    next: 'Add the device to the recording in dataset.json, or set model.split to "recording". To import new recordings with a device, use `aiot data import --device NAME`.',
  },
  AIOT_DATA_NO_TIME: {
    exit: 2,
    family: 'user',
    about: 'model.split is "time", but a recording has no creation time.',
    next: 'Set model.split to "recording".',
  },
  AIOT_DATA_ONE_CLASS: {
    exit: 2,
    family: 'user',
    about: 'All recordings or rows belong to one class. At least two classes are needed.',
    next: 'Record the other classes in model.labels too.',
  },
  AIOT_DATA_RATE: {
    exit: 2,
    family: 'user',
    about: "A recording's sample rate differs from the project's signal.rate.",
    next: 'Record at signal.rate, or set signal.rate to the rate of the recordings.',
  },
  AIOT_DATA_TOO_FEW: {
    exit: 2,
    family: 'user',
    about: 'There are too few independent recordings, devices or rows to split into training and test sets.',
    next: 'Record at least three takes of each class (with a split by device, on three devices). Parts of one take are nearly identical and count as one.',
  },
  AIOT_DDI_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      "A device's update client (SWUpdate, RAUC, …) failed or skipped the installation. The message contains the client's last output.",
    next: "Look for the cause in the client's log on the device; it often precedes the last line. After fixing it, run `aiot rollout retry ID`.",
  },
  AIOT_DELTA_BASE: {
    exit: 1,
    family: 'outside',
    about:
      'A delta update does not apply to the release on the device. The device downloads the full release instead.',
    next: 'No action is needed. To see which release the device runs, run `aiot device show NAME`.',
  },
  AIOT_DELTA_MALFORMED: {
    exit: 1,
    family: 'outside',
    about:
      'A delta patch is malformed, too large, or does not match its digest. The device downloads the full release instead.',
    next: 'No action is needed. If this happens repeatedly, check proxies and other systems between the device and the platform.',
  },
  AIOT_DELTA_RESULT: {
    exit: 1,
    family: 'outside',
    about:
      'Applying a delta patch did not produce the signed digest. The device downloads the full release instead.',
    next: "No action is needed. If this happens repeatedly, the device's flash may be failing.",
  },
  AIOT_DEPLOY_EDITED: {
    exit: 6,
    family: 'user',
    about: 'Rendering would overwrite a file that you edited or that already existed.',
    next: 'Save your changes elsewhere and add --force, or render into another folder. To preview the changes, add --dry-run.',
  },
  AIOT_DEPLOY_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'A program that installs the deployment or reads its status failed, returned no valid output, or is not installed on this machine.',
    next: 'List the commands with `aiot deploy apply --dry-run`, and check that kubectl, docker or systemctl is on the PATH.',
  },
  AIOT_DEPLOY_NOTHING: {
    exit: 4,
    family: 'user',
    about: 'The folder contains no files rendered by aiot deploy, or the secrets have not been created yet.',
    next: 'Render the files with `aiot deploy render --target TARGET --out DIR`.',
  },
  AIOT_DEPLOY_UNFIT: {
    exit: 6,
    family: 'user',
    about: 'The rendered deployment has an error that would make it fail on the cluster or machine.',
    next: 'List all errors with `aiot deploy check DIR`.',
  },
  AIOT_DEPLOY_VALUES: {
    exit: 2,
    family: 'user',
    about: 'deploy.yaml has a syntax error, an unknown field or an invalid value.',
    next: 'Correct the file at the line and column given. For the fields, run `aiot docs deploy-yaml`.',
  },
  AIOT_DEVICE_BUSY: {
    exit: 1,
    family: 'user',
    about:
      'The virtual device in this folder is already running, or the maximum number of native devices (100) is running on this machine.',
    next: 'Stop that process, or use another folder.',
  },
  AIOT_DEVICE_CHANGED: {
    exit: 1,
    family: 'user',
    about:
      'Another user or command changed the device at the same time, so your change was not made. Credentials issued by the other user or command remain valid.',
    next: 'Inspect the device with `aiot device show NAME`, then repeat the command if the change is still needed.',
  },
  AIOT_DEVICE_NO_MODEL: {
    exit: 1,
    family: 'user',
    about: 'The device has no active model.',
    next: 'Deploy one with `aiot model deploy NAME@VERSION --selector SELECTOR`.',
  },
  AIOT_DEVICE_OFFLINE: {
    exit: 1,
    family: 'user',
    about: 'The device is offline, so it cannot receive messages.',
    next: 'Start the device, or wait until `aiot device list` shows it online.',
  },
  AIOT_DEVICE_ONLINE: {
    exit: 1,
    family: 'user',
    about:
      'Another simulated fleet already uses these device names. Starting this fleet would revoke the credentials of the running one.',
    next: 'Choose other names, such as --template "press-####", or stop the other fleet.',
  },
  AIOT_DEVICE_STATE: {
    exit: 1,
    family: 'user',
    about:
      "The operation is not possible in the device's current state (registered, provisioned, active, suspended or revoked).",
    next: 'To see the state, run `aiot device show NAME`. A revoked device cannot be restored: provision it again.',
  },
  AIOT_DEVICE_UPDATING: {
    exit: 1,
    family: 'user',
    about: 'The operation would disrupt a rollout that is in progress on the device.',
    next: 'Wait for the rollout to finish. To see its progress, run `aiot device show NAME`.',
  },
  AIOT_DIGEST_MISMATCH: {
    exit: 1,
    family: 'outside',
    about:
      'Data does not match its digest or signature: it was truncated or modified in transit or in storage. It was discarded.',
    next: "Repeat the command or the upload. If the error persists, check the stored data with `aiot platform verify` on the platform's machine.",
  },
  AIOT_DISK_FULL: {
    exit: 1,
    family: 'outside',
    about: 'The disk is full or a quota is used up, on the platform or where the command writes its output.',
    next: 'Free some disk space and repeat the command.',
  },
  AIOT_DRIVE_LOST: {
    exit: 1,
    family: 'outside',
    about: 'The drive of a UF2 bootloader disappeared before the whole file was written.',
    next: "Start the board's bootloader again (hold BOOTSEL while you connect it, or press RESET twice), and repeat the command.",
  },
  AIOT_DRIVE_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about:
      'The folder is not the drive of a UF2 bootloader, or no drive of a board that accepts this file is mounted.',
    next: "Start the board's bootloader (hold BOOTSEL while you connect it, or press RESET twice), and mount its drive. To list the drives, run `aiot board ports`.",
  },
  AIOT_DRIVE_REJECTED: {
    exit: 1,
    family: 'outside',
    about:
      'The board received a complete UF2 file, but its drive did not disappear, so it has not started the program.',
    next: "Run `aiot firmware inspect FILE` to check that the file is for this chip and fits the board's flash. On RP2350, the security settings may reject the UF2 family.",
  },
  AIOT_EDGETPU_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'The Edge TPU compiler (edgetpu_compiler) rejected the model, or produced a file without Edge TPU operators.',
    next: "Use an int8 model with int8 inputs and outputs (`aiot model quantize --mode int8`). The message contains the compiler's output.",
  },
  AIOT_ENROLLMENT_REFUSED: {
    exit: 5,
    family: 'user',
    about:
      'The platform does not let a device of a batch in: the batch has expired, was revoked or is full, or the device was rejected or contradicts another one.',
    next: 'As an operator, look at the batch with `aiot device batch show NAME` and at its devices with `aiot device waiting list --all`.',
  },
  AIOT_EVENTS_GONE: {
    exit: 4,
    family: 'user',
    about:
      'The requested events do not exist: they were deleted because they were too old, or their ID is from another platform.',
    next: 'Read the current state, then continue from the oldest remaining event: `aiot events tail --from 0`.',
  },
  AIOT_FEATURE_UNFIT: {
    exit: 2,
    family: 'user',
    about: 'The feature set cannot be computed with these fields, this rate or this window.',
    next: "Change signal.features, signal.mel or signal.window in aiot.yaml (or --set or --window). For each set's requirements, run `aiot docs project`.",
  },
  AIOT_FEATURE_UNKNOWN: {
    exit: 2,
    family: 'user',
    about: 'signal.features or --set names an unknown feature.',
    next: 'Use raw, motion, spectral, har, logmel, mfcc, microfrontend, or names of features from the first four.',
  },
  AIOT_FILE_IS_INPUT: {
    exit: 2,
    family: 'user',
    about: 'The output file is also an input of the command and would be overwritten.',
    next: 'Choose another name with --out.',
  },
  AIOT_FILE_MALFORMED: {
    exit: 2,
    family: 'user',
    about:
      'A file or part of the flash is damaged or truncated, is not in the expected format, or lacks a required part.',
    next: 'Correct the part that the message names, or create the file again.',
    subjects: {
      annotations: 'Correct the box in the annotations, or use the pictures that they were made for.',
      csv: 'Correct or remove that line. Every row must have all cells, and every number must be finite and in decimal notation.',
      nvs: 'Create the NVS partition again with `aiot firmware nvs create IN.csv OUT.bin --size 0x6000`.',
      otadata:
        'Create the otadata partition again with `aiot firmware otadata create OUT.bin --slot 0`. It selects the app slot to boot.',
      partitions:
        'Correct the row: partitions must be aligned, must not overlap, and must end within the flash.',
      picture:
        'Use a JPEG, PNG, WebP, GIF, TIFF or AVIF file. To see whether the picture is complete, open it in a viewer.',
      sound: 'Play the file to see whether it is complete, and check that its extension matches its format.',
      wav: 'Convert the recording to 16-bit PCM, for example with `ffmpeg -i IN -c:a pcm_s16le OUT.wav`.',
    },
  },
  AIOT_FILE_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'The file or folder does not exist.',
    next: 'Check the path.',
  },
  AIOT_FILE_NOT_READABLE: {
    exit: 1,
    family: 'outside',
    about:
      'A file could not be read: permission was denied, its type is not supported, or too many files were open.',
    next: 'Check the path, its permissions and the file type.',
  },
  AIOT_FILE_NOT_WRITABLE: {
    exit: 1,
    family: 'outside',
    about:
      'A file could not be written or removed: permission was denied, the disk failed, the path is invalid, or the file already exists or is in use.',
    next: 'Check the path, its permissions and the disk, or choose another folder.',
  },
  AIOT_FIRMWARE_BUILD: {
    exit: 1,
    family: 'outside',
    about:
      "Building or testing the project's firmware failed in the compiler, CMake, CTest, PlatformIO or ESP-IDF, timed out, or produced no output.",
    next: 'Fix the first error in the message. If the message names a log file, it contains the full output.',
  },
  AIOT_FIRMWARE_MISSING: {
    exit: 4,
    family: 'user',
    about: 'The folder contains no firmware project created by `aiot firmware init`.',
    next: 'Create one with `aiot firmware init DIR`, or specify the folder of an existing one.',
  },
  AIOT_FLASH_CORRUPTED: {
    exit: 1,
    family: 'outside',
    about: 'Data was repeatedly lost or corrupted between this machine and the chip.',
    next: 'Repeat with a lower --baud or a shorter cable, and connect the board without a hub.',
  },
  AIOT_FLASH_NO_SLOT: {
    exit: 2,
    family: 'user',
    about:
      'The board has no partition table, its table lacks a second app slot, two model slots or an NVS partition, or NVS lacks a required entry.',
    next: 'Create a partition table: `aiot firmware partitions create IN.csv table.bin`. Then write it with `aiot flash table.bin@0x8000`.',
  },
  AIOT_FLASH_READ: {
    exit: 1,
    family: 'outside',
    about:
      'The chip could not read its flash or did not report its size, or the data was corrupted during transfer.',
    next: 'Repeat the command with a lower --baud. Check with `aiot board info` that the range is within the flash.',
  },
  AIOT_FLASH_REFUSED: {
    exit: 6,
    family: 'user',
    about:
      'The operation is unsafe: the board could fail to boot or lose its identity, or the image does not fit this chip or board. Nothing was written.',
    next: 'Fix the problem that the message names. To write anyway, add --force, which lists the checks it overrides.',
  },
  AIOT_FLASH_UNHEALTHY: {
    exit: 1,
    family: 'outside',
    about:
      'The board did not become healthy with the new image. Unless the message says otherwise, the board was rolled back to the previous image.',
    next: "To see the board's output, run `aiot board monitor`. The message gives the reason.",
  },
  AIOT_FLASH_VERIFY: {
    exit: 1,
    family: 'outside',
    about: 'The flash contents do not match the written data or the file.',
    next: 'Write the data again. If the error persists, the flash chip or its power supply may be faulty.',
  },
  AIOT_FLASH_WRITE: {
    exit: 1,
    family: 'outside',
    about: 'The chip could not write or erase its flash, or did not report its size.',
    next: 'Check the power supply. The flash may be write-protected or worn out.',
  },
  AIOT_FOLDER_NOT_EMPTY: {
    exit: 2,
    family: 'user',
    about: 'The output folder, database or bucket is not empty, or the path is a file. Nothing was written.',
    next: 'Specify a new or empty folder.',
  },
  AIOT_GATE_FAILED: {
    exit: 6,
    family: 'user',
    about:
      "The model does not meet a limit (model.accept, --gate or the chip's memory), or has not completed the steps that its next stage requires.",
    next: 'Record more or better labeled data and train again. To complete a missing step, follow the message. Change model.accept only if the limit itself is wrong.',
  },
  AIOT_GOLDEN_MISMATCH: {
    exit: 6,
    family: 'user',
    about:
      'The outputs for the test vectors differ from those in the evaluation, so predictions on this machine would differ too.',
    next: 'Create the bundle again with this version of aiot. If the error persists, report it.',
  },
  AIOT_GUIDE_FULL: {
    exit: 1,
    family: 'outside',
    about:
      "Unauthenticated clients of the guide's services have reached the storage limit set by --compat-quota.",
    next: 'Remove uploads with `aiot model remove NAME@VERSION`, or all of them with /deleteAllData (needs --compat-delete-all); or raise --compat-quota.',
  },
  AIOT_I2C_BUSY: {
    exit: 1,
    family: 'outside',
    about: 'A kernel driver owns the chip at this I²C address, so programs cannot access it directly.',
    next: 'Read the chip through the driver (iio://NAME), or remove its overlay from /boot/firmware/config.txt and reboot.',
  },
  AIOT_I2C_DENIED: {
    exit: 5,
    family: 'outside',
    about: 'You do not have permission to use this I²C bus.',
    next: 'Run `sudo usermod -aG i2c $USER`, then log in again.',
  },
  AIOT_I2C_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'An I²C transaction was interrupted or returned too few bytes.',
    next: 'Use short wires with firm connections and 3.3 V pull-ups on SDA and SCL. A slower bus (100 kHz) is more tolerant.',
  },
  AIOT_I2C_MISSING: {
    exit: 4,
    family: 'outside',
    about:
      'This I²C bus does not exist on this machine: it is disabled, was disconnected, or has a different number.',
    next: 'Enable it with `sudo raspi-config nonint do_i2c 0`. To list the buses, run `ls /dev/i2c-*`.',
  },
  AIOT_I2C_NACK: {
    exit: 1,
    family: 'outside',
    about: 'No chip responds at this I²C address.',
    next: 'Check the power and the wiring (Raspberry Pi: SDA on pin 3, SCL on pin 5). To scan the addresses, run `i2cdetect -y 1`.',
  },
  AIOT_I2C_PACKAGE: {
    exit: 1,
    family: 'outside',
    about:
      'I²C requires the optional package i2c-bus (Linux only), which is not installed or cannot be loaded.',
    next: 'Install it where aiot is installed; for a global installation, `npm install -g i2c-bus`. Compiling it needs make, g++ and python3.',
  },
  AIOT_I2C_STUCK: {
    exit: 1,
    family: 'outside',
    about: 'The I²C bus is stuck: a chip holds a line low or stretches the clock indefinitely.',
    next: "Cut the chips' power for a second. If the bus gets stuck again, check the pull-ups and the power supply.",
  },
  AIOT_IDEMPOTENCY_REUSED: {
    exit: 2,
    family: 'user',
    about:
      'The Idempotency-Key was already used: by a different request, or by one that is still in progress or whose response was lost.',
    next: 'Send a new key with each new request. Reuse a key only to repeat an identical request.',
  },
  AIOT_IMAGE_MALFORMED: {
    exit: 2,
    family: 'user',
    about:
      'A firmware image, or its source ELF, HEX or UF2 file, is damaged, truncated or not a firmware image.',
    next: 'Build it again, or download it again.',
  },
  AIOT_IMAGE_TOO_LARGE: {
    exit: 2,
    family: 'user',
    about: 'A firmware image, including its trailer, does not fit into the slot.',
    next: 'Make the program smaller, or check --slot-size, --align and --max-sectors against the flash partitions of the board.',
  },
  AIOT_IMAGE_UNSUPPORTED: {
    exit: 2,
    family: 'user',
    about: 'The MCUboot image is compressed, or is for a big-endian chip.',
    next: 'Sign the program again, without compression and in little-endian order.',
  },
  AIOT_IMPROV_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The board received the Wi-Fi settings, but reported an error that does not concern the network.',
    next: "Reset the board and repeat the command. To see the board's log, run `aiot board monitor`.",
  },
  AIOT_IMPROV_REJECTED: {
    exit: 1,
    family: 'outside',
    about:
      'The board rejected every request as damaged: the serial line corrupts data, or the board was still joining another network.',
    next: 'Check the cable and --baud, wait a minute, and repeat the command.',
  },
  AIOT_IMPROV_SILENT: {
    exit: 1,
    family: 'outside',
    about:
      'The board did not respond to the Improv protocol, which transfers Wi-Fi settings over the serial port.',
    next: 'Repeat the command with --reset. If the firmware does not support Improv, write the Wi-Fi settings with `aiot device provision NAME --port PORT --wifi-ssid SSID`.',
  },
  AIOT_IMPROV_UNSUPPORTED: {
    exit: 1,
    family: 'outside',
    about: "The board's firmware does not support this Improv request.",
    next: 'Name the network with --ssid. To update the firmware, run `aiot flash`.',
  },
  AIOT_INTERRUPTED: {
    exit: 130,
    family: 'user',
    about: 'The command or run was canceled: by Ctrl-C, by SIGTERM, or because a prompt was not confirmed.',
    next: 'Run it again at any time; everything it started has been stopped.',
  },
  AIOT_JOB_ENDED: {
    exit: 2,
    family: 'user',
    about: 'The job has already ended, so it accepts no more reports or requests.',
    next: 'To see its result, run `aiot job show ID`.',
  },
  AIOT_JOB_LOST: {
    exit: 1,
    family: 'outside',
    about:
      "The job's worker stopped reporting progress, or the platform was killed during a job that cannot be resumed.",
    next: 'Start the job again.',
  },
  AIOT_KEY_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: "This platform's signing key is not on this machine.",
    next: "Run the command on the machine where `aiot up` was first run, as the same user. The key never leaves that user's account.",
  },
  AIOT_LABELS_SEVERAL: {
    exit: 2,
    family: 'user',
    about: 'A picture has boxes of several labels, but a recording has only one label.',
    next: 'Import the boxes as separate recordings, with `--boxes crop`.',
  },
  AIOT_LABELS_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      "The table's labels do not match the model: the classes differ from its outputs, or the labels are not numbers.",
    next: 'List the classes in the order of the outputs with --classes a,b,c. For a model that outputs a number, use a numeric label column.',
  },
  AIOT_LABEL_UNKNOWN: {
    exit: 2,
    family: 'user',
    about: 'A recording has a label that belongs to no class in model.labels.',
    next: "Add the label to a class in aiot.yaml, or correct the recording's label.",
  },
  AIOT_LAYER_UNSUPPORTED: {
    exit: 2,
    family: 'user',
    about: 'An imported model has a layer or a setting that the microcontroller runtime does not support.',
    next: 'Replace the layer as the message suggests, then train and import again. For supported layers, run `aiot docs import`.',
  },
  AIOT_LITERT_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      "LiteRT, Google's interpreter for .tflite files, could not be loaded, rejected the model or returned no output; or the face detector's model is unusable.",
    next: "To see whether LiteRT loads, run `aiot doctor`. To see the model's operators and types, run `aiot model inspect FILE`.",
  },
  AIOT_LOCK_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'A fuse of the chip does not have the value that was burned.',
    next: 'Repeat the command: it continues after the fuses that are already burned. If the error persists, the chip or its power supply is faulty.',
  },
  AIOT_LOCK_REFUSED: {
    exit: 6,
    family: 'user',
    about:
      'The board cannot be locked safely in the current state of its fuses and flash. For example, it might no longer start. No fuse was burned.',
    next: 'Fix the problem that the message names. To see the fuses, run `aiot board security`.',
  },
  AIOT_LOGIN_FAILED: {
    exit: 5,
    family: 'outside',
    about:
      'A login through the login provider failed: the provider refused it, its response was invalid, or the login timed out.',
    next: 'Log in again with `aiot login`. Tokens of local users work without the provider.',
  },
  AIOT_LOOP_RUNNING: {
    exit: 1,
    family: 'user',
    about:
      'A loop with this name is already running. Two loops would compete for the sensor and share a spool.',
    next: 'Choose another name with --name, or stop the other loop. To see it, run `aiot loop status`.',
  },
  AIOT_LOOP_STAGE: {
    exit: 2,
    family: 'user',
    about:
      'A stage of the motion system (aiot loop run --stage) does not support this sensor, destination or set of fields.',
    next: "For each stage's inputs and outputs, run `aiot docs motion-over-nats`.",
  },
  AIOT_MANIFEST_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'A signed document (manifest, trust root, timestamp or birth certificate) is invalid.',
    next: 'Create or push it again with this version of aiot.',
  },
  AIOT_MEMORY_SHORT: {
    exit: 5,
    family: 'user',
    about:
      "The device's firmware has too little memory for a manifest, a timestamp, a root's keys, or a model.",
    next: 'Use a smaller model or window, fewer root keys, or firmware with a larger AIOT_MEMORY_BYTES or AIOT_ENVELOPE_ROOM. For more, run `aiot docs firmware-memory`.',
  },
  AIOT_MESSAGE_MALFORMED: {
    exit: 1,
    family: 'outside',
    about: 'A device protocol message is malformed or exceeds a limit of the protocol.',
    next: 'Compare the payload with the format: run `aiot docs protocol`.',
  },
  AIOT_MODEL_IN_USE: {
    exit: 6,
    family: 'user',
    about: 'The version is in production, or is running on or assigned to a device, so it cannot be removed.',
    next: 'Deploy another version to the devices (`aiot model deploy`), or take it out of production with `aiot model promote NAME@VERSION --to dev`.',
  },
  AIOT_MODEL_NOT_BUILT: {
    exit: 4,
    family: 'user',
    about: 'A file that an earlier step (train, quantize or evaluate) creates is missing.',
    next: 'Run the missing steps in this order: `aiot model train`, `aiot model quantize`, `aiot model evaluate`.',
  },
  AIOT_MODEL_REFUSED: {
    exit: 6,
    family: 'user',
    about:
      'This model has already failed its test vectors or caused errors on this machine. It will not be tried again.',
    next: 'Promote another version with `aiot model promote NAME@VERSION --to production`.',
  },
  AIOT_MODEL_STALE: {
    exit: 6,
    family: 'user',
    about:
      'The metrics, the checkpoint or the retrained layer comes from an earlier model, dataset or aiot.yaml.',
    next: 'Run `aiot model train`, `aiot model quantize` and `aiot model evaluate` again, in this order.',
  },
  AIOT_MODEL_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'The model cannot be built from aiot.yaml, or does not suit the command, the device, the sensor or the project.',
    next: 'Use the kind of model that the message requires. For a project, check model.kind, model.layers and signal.features in aiot.yaml (see `aiot docs project`).',
  },
  AIOT_MODEL_UNTRUSTED: {
    exit: 5,
    family: 'user',
    about:
      'The version was uploaded without a signature. It can be listed and downloaded, but not promoted or deployed until an operator signs it.',
    next: 'Inspect the version, then sign it with `aiot model sign NAME@VERSION`.',
  },
  AIOT_MONITOR_FAILED: {
    exit: 6,
    family: 'outside',
    about: "The board's output matched the --fail pattern.",
    next: 'To decode a crash to source lines, run `aiot board monitor --elf FILE`. The message shows the matching line.',
  },
  AIOT_NATIVE_BUILD: {
    exit: 1,
    family: 'outside',
    about: 'The native virtual device could not be compiled from the firmware sources on this machine.',
    next: 'Fix the compiler error shown in the message, or omit --native.',
  },
  AIOT_NATIVE_PART: {
    exit: 1,
    family: 'outside',
    about:
      'A required native package (serialport, sharp or libsql) cannot be loaded: it was not installed, or was not built for this system or Node version.',
    next: 'Reinstall without --omit=optional on Linux with glibc (x64 or arm64), macOS or Windows. To use a board without serialport, connect to a remote port with `--port rfc2217://HOST:PORT`.',
  },
  AIOT_NATIVE_PROGRAM: {
    exit: 2,
    family: 'user',
    about: 'The file given with --program is not an executable for this machine.',
    next: 'Build one with `aiot firmware build --target host`, or omit --program.',
  },
  AIOT_NOT_ALLOWED: {
    exit: 5,
    family: 'user',
    about: 'The credentials used do not permit this operation, or the device is suspended or revoked.',
    next: "Use a token with the required role and scope. To see your tokens' roles and scopes, run `aiot token list`. For a device, run `aiot device show NAME`.",
  },
  AIOT_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'No such item exists.',
    next: "Check the name or ID. To see the existing items, run the topic's list command, such as `aiot device list`.",
    subjects: {
      login: 'To see the endpoints with stored credentials, run `aiot stream login`.',
      loop: 'To see the loops that have run here, as this user or as a service, run `aiot loop status`.',
      recording: 'To see the recordings, run `aiot data list`.',
      run: 'To see the runs, run `aiot pipeline history`.',
      schema:
        'To see the subjects, run `aiot stream schema list`. To see the versions of one, run `aiot stream schema show SUBJECT`.',
      'training-run': 'To see the training runs, run `aiot model runs list`.',
    },
  },
  AIOT_NVS_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'The values do not fit into an NVS partition of this size and version, or NVS does not support them.',
    next: 'Correct the value that the message names. If the values need more space, choose a larger --size.',
  },
  AIOT_OCI_REFUSED: {
    exit: 1,
    family: 'outside',
    about:
      'The OCI registry rejected the request, requires credentials or is not supported, or the artifact at that location is not an aiot model.',
    next: 'Log in with docker login, podman login or oras login. Check the repository and the tag: oci://HOST/REPOSITORY:TAG',
  },
  AIOT_OCI_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: 'The OCI registry did not respond.',
    next: 'Check its address. For a remote registry without TLS, add --plain-http.',
  },
  AIOT_PIPELINE_BUSY: {
    exit: 1,
    family: 'user',
    about: "This project's pipeline is already running. Only one run is allowed at a time.",
    next: 'To see the run, run `aiot pipeline status`. To stop it, run `aiot pipeline cancel`.',
  },
  AIOT_PIPELINE_RUNNER: {
    exit: 1,
    family: 'user',
    about: 'No runner that could run the pipeline is connected to the platform.',
    next: 'On the machine with the project, run `aiot pipeline runner`. It needs a context for this platform.',
  },
  AIOT_PIPELINE_STEP: {
    exit: 1,
    family: 'outside',
    about: 'A pipeline step failed, including any retries. The outputs of earlier steps are kept.',
    next: "To see the step's output, run `aiot pipeline status --step NAME`. To continue from that step, run `aiot pipeline resume`.",
  },
  AIOT_PKCS11_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The PKCS#11 module, its token or the key in the token cannot be used.',
    next: 'Check the URI. List tokens and keys with `pkcs11-tool --module MODULE --list-objects`.',
  },
  AIOT_PKCS11_PIN: {
    exit: 5,
    family: 'user',
    about: 'The PKCS#11 token rejected the PIN, or is locked after several wrong PINs.',
    next: 'Correct the PIN in the pin-source file or in AIOT_PKCS11_PIN. Too many wrong PINs lock the token.',
  },
  AIOT_PLATFORM_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The platform could not start, reported an internal error, or sent an invalid response.',
    next: "On the platform's machine, read its log with `aiot platform logs`. A platform that runs in the foreground logs to its terminal.",
  },
  AIOT_PLATFORM_NOT_RUNNING: {
    exit: 4,
    family: 'user',
    about: 'No platform is running with this data folder.',
    next: 'To start one, run `aiot up`.',
  },
  AIOT_PLATFORM_RUNNING: {
    exit: 1,
    family: 'user',
    about: 'A platform is already running with this data folder.',
    next: 'To see it, run `aiot status`. To change its options, stop it with `aiot down`, and start it again. To start another platform, choose another folder with --data.',
  },
  AIOT_PLATFORM_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: 'The platform did not respond, is stopping, or closed the connection.',
    next: 'Start it with `aiot up`. To see which platform is selected, run `aiot context list`.',
  },
  AIOT_PLATFORM_UNTRUSTED: {
    exit: 5,
    family: 'outside',
    about:
      "The server's TLS certificate is not trusted: it was issued by an unknown CA or for another host name, has expired, or does not have the expected fingerprint.",
    next: 'Check the address. To trust another CA, run `aiot context add NAME --url URL --ca FILE --replace`.',
  },
  AIOT_PORT_IN_USE: {
    exit: 1,
    family: 'user',
    about: 'Another program is already using this network port.',
    next: 'Choose another port, or 0 for any free port.',
  },
  AIOT_PRECONDITION_FAILED: {
    exit: 6,
    family: 'user',
    about: 'The resource has changed since you read it.',
    next: 'Read it again, review the differences, and send your change with the new ETag in If-Match.',
  },
  AIOT_PROGRAM_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'A program started by aiot (a native device, an exec: target, gpioset, npm or journalctl) could not be started, exited unexpectedly or timed out.',
    next: 'To see its full output, run the program by hand as the same user. The message contains the last output.',
  },
  AIOT_PROGRAM_NOT_FOUND: {
    exit: 4,
    family: 'outside',
    about: 'A required program is not installed, not on the PATH, or not executable.',
    next: 'Install it, or specify its full path.',
  },
  AIOT_PROJECT_INVALID: {
    exit: 2,
    family: 'user',
    about: 'aiot.yaml has a syntax error, an unknown field or an invalid value.',
    next: 'Correct the line shown in the message. For the fields, run `aiot docs project`.',
  },
  AIOT_PROJECT_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'The folder contains no aiot.yaml.',
    next: 'Specify a project folder with --project DIR, or create one with `aiot init DIR --template har-imu`.',
  },
  AIOT_PROOF_INVALID: {
    exit: 5,
    family: 'outside',
    about:
      "A device's proof of update is malformed, or is not signed by the key in the device's current certificate.",
    next: 'Inspect the device with `aiot device show NAME`: it may be impersonated. Then run `aiot device rotate NAME` or `aiot device revoke NAME`.',
  },
  AIOT_PROOF_MISMATCH: {
    exit: 5,
    family: 'outside',
    about:
      "A device's signed proof names a different update than the one it reported or was offered, or shows that the test vectors failed.",
    next: 'Check its log with `aiot device logs NAME`, then run `aiot rollout retry ID`. If this happens again, revoke the device.',
  },
  AIOT_PROOF_MISSING: {
    exit: 5,
    family: 'outside',
    about: "A rollout with --require-proof does not accept a commit without the device's signature.",
    next: 'Give the device a certificate with `aiot device rotate NAME`, or start the rollout without --require-proof.',
  },
  AIOT_PROOF_REPLAYED: {
    exit: 5,
    family: 'outside',
    about: "A device's proof of update is older than one it already sent.",
    next: 'Inspect the device with `aiot device show NAME`: an attacker may be replaying its messages. Then run `aiot device rotate NAME`.',
  },
  AIOT_PROVIDER_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: 'The platform got no usable response from its login provider.',
    next: 'Check that the provider is running and that --oidc-issuer is its URL. In the meantime, use a token of a local user: `aiot context add`.',
  },
  AIOT_PROVISION_RUNNING: {
    exit: 1,
    family: 'user',
    about: 'Another process is already provisioning devices for this platform. Nothing was created.',
    next: 'Wait for it to finish, then repeat the command. Devices already created in the same folder are skipped.',
  },
  AIOT_QUANTIZE_LOSS: {
    exit: 6,
    family: 'user',
    about:
      'No quantization kept the accuracy loss against the float model within --max-loss. Nothing was written.',
    next: 'Raise --max-loss, provide more rows, or train longer: a confident model loses less.',
  },
  AIOT_QUANTIZE_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'The model, or the combination of options, does not support this quantization or this output format.',
    next: 'Change the option, operator or value named in the message. For a model that is already quantized, use the float model written by `aiot model train`.',
  },
  AIOT_RATE_LIMITED: {
    exit: 1,
    family: 'outside',
    about:
      "A client exceeded a platform limit: the request rate, the number of unfinished uploads, or the number of a device's attributes.",
    next: 'Wait, then try again. The Retry-After response header gives the wait in seconds.',
  },
  AIOT_RECORDING_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      "A recording does not have the fields or the rate that the device's model expects, or two models that are being compared expect different fields or rates.",
    next: "Record with the fields and the rate in the project's aiot.yaml.",
  },
  AIOT_REMOTE_ENDED: {
    exit: 1,
    family: 'outside',
    about:
      'A remote session ended before its work was complete: its time was over, the platform stopped, or the user or the device lost its rights.',
    next: 'Open a new session. `aiot device history NAME` shows why earlier ones ended.',
  },
  AIOT_REMOTE_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The device could not carry out a remote session, for example because a file does not exist.',
    next: 'Check the path or the program that the message names on the device.',
  },
  AIOT_REMOTE_REFUSED: {
    exit: 5,
    family: 'user',
    about:
      'The device refused a remote session, because of its agent’s settings, or because its consent program did not agree.',
    next: 'On the device, run `aiot device agent` with an --allow that includes the session.',
  },
  AIOT_REPLICA_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: 'Another replica of the platform, which may have the session, does not respond.',
    next: 'Repeat this after a few seconds. To see the replicas, run `aiot status`.',
  },
  AIOT_REQUEST_INVALID: {
    exit: 2,
    family: 'user',
    about:
      'A request to the platform contains an invalid value, exceeds a limit, or is not possible in the current state.',
    next: 'Correct the field named in the message (see /openapi.json on the platform). If an aiot command sent the request, install the same version of aiot on both machines.',
  },
  AIOT_REQUEST_TOO_LARGE: {
    exit: 2,
    family: 'user',
    about: "The request, or a part of it, exceeds the platform's size limit or its announced size.",
    next: 'Send less data in one request. For the limits of HTTP requests and uploads, run `aiot docs security`; for MQTT, run `aiot docs mqtt-broker`.',
  },
  AIOT_ROLLOUT_ABORTED: {
    exit: 6,
    family: 'user',
    about: 'The rollout was aborted.',
    next: "To see the version that each device runs, run `aiot device list`. For the rollout's history, run `aiot rollout report ID`.",
  },
  AIOT_ROLLOUT_APPROVER: {
    exit: 5,
    family: 'user',
    about: 'The user who started a rollout cannot approve it.',
    next: 'Ask another user with the operator role to run `aiot rollout approve ID`.',
  },
  AIOT_ROLLOUT_CRASHES: {
    exit: 6,
    family: 'outside',
    about:
      'The updated devices crash too often for `--min-crash-free`, so the rollout was paused or rolled back. No more devices will start updating.',
    next: 'To see the most frequent crash, run `aiot device crashes show` with the signature in the message. Then resume, roll back or abort a paused rollout.',
  },
  AIOT_ROLLOUT_DEADLINE: {
    exit: 124,
    family: 'outside',
    about: "A device did not finish its update before the rollout's deadline.",
    next: 'To see when it was last online, run `aiot device show NAME`. Deploy again when it is online.',
  },
  AIOT_ROLLOUT_EMPTY: {
    exit: 4,
    family: 'user',
    about: 'No device that can run this release matches the selector.',
    next: 'To see the devices and their types, run `aiot device list`.',
  },
  AIOT_ROLLOUT_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The rollout ended, but some or all devices do not run the new version.',
    next: 'To see the failed devices and their errors, run `aiot rollout show ID`.',
  },
  AIOT_ROLLOUT_FAILURES: {
    exit: 6,
    family: 'outside',
    about:
      'Too many devices in a wave failed or crashed after the update, so the rollout was paused or rolled back. No more devices will start updating.',
    next: 'To see the failed devices and the reasons, run `aiot rollout show ID`; for crashes, `aiot device crashes list`. Then resume, roll back or abort a paused rollout.',
  },
  AIOT_ROLLOUT_MISREPORTED: {
    exit: 1,
    family: 'outside',
    about: 'A device reported that it committed a different release from the one offered.',
    next: 'Check its log with `aiot device logs NAME`, then deploy again.',
  },
  AIOT_ROLLOUT_NO_WAY_BACK: {
    exit: 2,
    family: 'user',
    about: 'The rollout was started without a release for its devices to roll back to.',
    next: 'Deploy the older version, which signs it again. Next time, start the rollout with --rollback-to.',
  },
  AIOT_ROLLOUT_OVERLAP: {
    exit: 6,
    family: 'user',
    about: 'A device is already in an active rollout with a higher priority.',
    next: 'Wait for that rollout, abort it, exclude its devices, or start with an equal --priority.',
  },
  AIOT_ROLLOUT_PAUSED: {
    exit: 6,
    family: 'user',
    about: 'A user paused the rollout.',
    next: 'To continue, run `aiot rollout resume ID`.',
  },
  AIOT_ROLLOUT_PLAN: {
    exit: 2,
    family: 'user',
    about:
      'The file is not a valid rollout plan, or its selector now matches different devices than when the plan was made.',
    next: 'Create the plan again with `aiot rollout plan --out FILE`.',
  },
  AIOT_ROLLOUT_ROLLED_BACK: {
    exit: 6,
    family: 'user',
    about: "A user rolled back the rollout's devices to the previous release.",
    next: 'To see the devices that were rolled back, run `aiot rollout show ID --state restored`.',
  },
  AIOT_ROLLOUT_SHADOW: {
    exit: 6,
    family: 'outside',
    about:
      'A new model did not perform well enough against the current one, or was not measured, so the rollout was paused or rolled back.',
    next: 'To see the results, run `aiot rollout show ID`. Then retry, resume (accept the result) or abort a paused rollout.',
  },
  AIOT_ROLLOUT_SILENT: {
    exit: 6,
    family: 'outside',
    about:
      'Devices in a wave committed the release and then went offline, so the rollout was paused or rolled back.',
    next: 'Inspect one of them with `aiot device show NAME` before you resume the rollout.',
  },
  AIOT_ROLLOUT_STATE: {
    exit: 6,
    family: 'user',
    about: "The command does not apply to the rollout's current state.",
    next: 'To see the state, run `aiot rollout show ID`. For the commands in each state, run `aiot docs rollouts#recover-a-stopped-rollout`.',
  },
  AIOT_ROLLOUT_SUCCESS: {
    exit: 6,
    family: 'outside',
    about:
      'Too few devices in a wave committed the release, so the next wave did not open, and the rollout was paused or rolled back.',
    next: 'To see the failed devices and the reasons, run `aiot rollout show ID`. Then resume, retry or abort a paused rollout.',
  },
  AIOT_ROLLOUT_SUPERSEDED: {
    exit: 1,
    family: 'user',
    about: 'A newer rollout took over the device before this rollout updated it.',
    next: 'No action is needed: the newer rollout applies.',
  },
  AIOT_ROUTE_INVALID: {
    exit: 2,
    family: 'user',
    about:
      'A routes file or a bridge command has a syntax error, an unknown field or route, an invalid value, or a variable without a value.',
    next: 'Correct the part named in the message. For all fields, run `aiot docs routes-yaml`.',
  },
  AIOT_ROUTE_MESSAGE: {
    exit: 1,
    family: 'user',
    about:
      'A route failed on one message: the expression, decoder or processor reported an error. With onError: retry, the route stops so that no message is lost.',
    next: 'Correct the expression, or set `onError` to `skip` or to `{dead-letter: URL}`. To try it on test cases, run `aiot stream route test FILE`.',
  },
  AIOT_SCHEMA_INCOMPATIBLE: {
    exit: 6,
    family: 'user',
    about: "The schema violates the subject's compatibility level. It was not registered.",
    next: 'Change the places that the message names. For Avro, new fields need a default. If all readers and writers change together, set another level with `aiot stream schema level`.',
  },
  AIOT_SCHEMA_INVALID: {
    exit: 2,
    family: 'user',
    about:
      'The schema is not valid Avro, Protobuf or JSON Schema, exceeds a limit, or refers to a schema that does not exist.',
    next: 'Correct the schema. If its format differs from that of its file name, add --type. If it uses other schemas, register them first, and add --reference.',
  },
  AIOT_SCHEMA_LOCKED: {
    exit: 6,
    family: 'user',
    about:
      'The schema cannot be changed now: other schemas refer to it, its subject or the registry is read-only, or it is not yet removed, or already removed.',
    next: 'Remove the schemas that refer to it first. Before `--permanent`, remove it without. The mode can be changed with `PUT /schema-registry/mode`.',
  },
  AIOT_SELECTOR_INVALID: {
    exit: 2,
    family: 'user',
    about: 'A device selector has a syntax error, or a name that is probably mistyped.',
    next: 'Use all, or terms such as type=virtual and name!=motor-1.',
  },
  AIOT_SENSOR_BUSY: {
    exit: 1,
    family: 'outside',
    about: 'Another program is already reading this sensor, and only one can read it at a time.',
    next: 'Stop the other program, then try again. To find it, run `sudo fuser -v DEVICE`.',
  },
  AIOT_SENSOR_DENIED: {
    exit: 5,
    family: 'outside',
    about: 'You do not have permission to read or configure this sensor.',
    next: 'Run as a user in the group audio (microphone), i2c (chips) or iio (with a udev rule). The service installed by `aiot loop install` has these permissions.',
  },
  AIOT_SENSOR_FAILED: {
    exit: 1,
    family: 'outside',
    about:
      'A sensor is not working: it does not respond, fails its self-test, rejects a setting, or sends implausible data.',
    next: 'Check its wiring, its power and the settings in its URL. To test each step, run `aiot loop check`.',
  },
  AIOT_SENSOR_IDENTITY: {
    exit: 1,
    family: 'outside',
    about: 'According to its identity register, the chip at this address is not of the specified type.',
    next: 'Name the actual chip in the sensor URL, or choose another address, such as ?address=0x6b.',
  },
  AIOT_SENSOR_LOST: {
    exit: 1,
    family: 'outside',
    about: 'A sensor was disconnected or stopped sending samples.',
    next: 'Reconnect it. A running loop continues automatically.',
  },
  AIOT_SENSOR_MISSING: {
    exit: 2,
    family: 'user',
    about: 'No sensor is specified.',
    next: 'Specify a sensor with --sensor URL or loop.sensor in aiot.yaml, or use simulated data with --simulate.',
  },
  AIOT_SENSOR_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'No sensor with this name exists on this machine.',
    next: "Check the name and the wiring, and that the sensor's driver or overlay is enabled.",
  },
  AIOT_SENSOR_TOOL: {
    exit: 1,
    family: 'outside',
    about: 'A program needed to read this sensor is not installed.',
    next: 'For the microphone, run `sudo apt install alsa-utils`.',
  },
  AIOT_SENSOR_UNFIT: {
    exit: 2,
    family: 'user',
    about: 'The sensor does not provide the field, unit or rate that the model expects.',
    next: 'Set ?map=x:ax,y:ay (fields) and ?units=ax:m/s2 (units) in the sensor URL, or change stream.fields in aiot.yaml.',
  },
  AIOT_SENSOR_URL: {
    exit: 2,
    family: 'user',
    about: 'A sensor URL is malformed or ambiguous, or contains a setting that this sensor does not support.',
    next: 'Use a URL such as i2c://1/lsm6ds3tr-c?rate=104, iio://lsm6dsox_accel or alsa://default?rate=16000.',
  },
  AIOT_SERIAL_AMBIGUOUS: {
    exit: 2,
    family: 'user',
    about: 'More than one serial port is available.',
    next: 'Choose one with --port, or use all of them with --all. To list them, run `aiot board ports`.',
  },
  AIOT_SERIAL_BAUD: {
    exit: 2,
    family: 'user',
    about: 'The port or its driver does not support this baud rate.',
    next: 'Choose a common rate: 115200, 230400, 460800 or 921600.',
  },
  AIOT_SERIAL_BUSY: {
    exit: 1,
    family: 'outside',
    about: 'Another program has the serial port open.',
    next: 'Close that program (often a serial monitor), then repeat the command.',
  },
  AIOT_SERIAL_DENIED: {
    exit: 5,
    family: 'outside',
    about: 'You do not have permission to open this serial port.',
    next: 'On Linux, run `sudo usermod -aG dialout $USER` and log in again, or add a udev rule: SUBSYSTEM=="tty", ATTRS{idVendor}=="303a", TAG+="uaccess"',
  },
  AIOT_SERIAL_LOST: {
    exit: 1,
    family: 'outside',
    about:
      'The serial connection was lost: the cable was unplugged, the adapter was reset, or the other end closed the connection.',
    next: 'Reconnect the board and repeat the command. If a write to flash was interrupted, the data already written is verified and skipped.',
  },
  AIOT_SERIAL_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'No serial port has this name, or there are no serial ports.',
    next: 'To list the serial ports of this machine, run `aiot board ports`. To try without a board, run `aiot board simulate`.',
  },
  AIOT_SETTINGS_CHANGED: {
    exit: 1,
    family: 'user',
    about:
      'A user changed the same settings of the device after the rollout had started. The device keeps that value.',
    next: 'Compare the values with `aiot device settings show NAME`. To replace them, deploy the settings again with `aiot device settings deploy`.',
  },
  AIOT_SETTINGS_INVALID: {
    exit: 2,
    family: 'user',
    about: "The device's settings do not match the JSON Schema of its type. Nothing was changed.",
    next: 'To see the settings with their sources, run `aiot device settings show NAME`. For the schema, add `--json` without NAME.',
  },
  AIOT_SETTINGS_REJECTED: {
    exit: 1,
    family: 'outside',
    about: 'A device reported that it cannot apply its settings. It keeps the previous ones.',
    next: 'The message contains the reason that the device reported. Fix the cause, or set another value with `aiot device settings set`.',
  },
  AIOT_SETTINGS_SCHEMA: {
    exit: 2,
    family: 'user',
    about:
      "The schema of a type's settings is not a valid JSON Schema (draft 2020-12), its defaults do not match it, or it contains secrets.",
    next: 'Correct the schema named in the message, under settings: in aiot.yaml.',
  },
  AIOT_SETTINGS_UNCONFIRMED: {
    exit: 124,
    family: 'outside',
    about: 'The settings are stored, but the device did not confirm in time that it had applied them.',
    next: 'The device receives them when it connects. To see whether it has applied them, run `aiot device settings show NAME`.',
  },
  AIOT_SETTINGS_UNKNOWN: {
    exit: 2,
    family: 'user',
    about: 'No project defines settings for devices of this type.',
    next: 'Add settings: to aiot.yaml, and run `aiot device settings apply`. For an example, run `aiot docs device-settings`.',
  },
  AIOT_SIGNATURES_MISSING: {
    exit: 6,
    family: 'user',
    about: 'A release has fewer signatures than the trust root requires. Nothing was published.',
    next: 'Send the manifest file to another signer, who runs `aiot trust sign FILE`.',
  },
  AIOT_SIGNATURE_INVALID: {
    exit: 5,
    family: 'user',
    about:
      'A release is unsigned, does not have enough valid signatures by keys in the trust root, or cannot be re-signed because your key never signed it.',
    next: 'Push the release again, or sign it with `aiot model sign NAME@VERSION`. If you have no signing key for this platform, ask the original signer.',
  },
  AIOT_SMP_DENIED: {
    exit: 5,
    family: 'outside',
    about: 'The board does not allow this SMP command.',
    next: 'Check the configuration of its firmware, such as CONFIG_MCUMGR_GRP_IMG_ALLOW_CONFIRM_NON_ACTIVE_IMAGE_ANY, and its hooks.',
  },
  AIOT_SMP_FAILED: {
    exit: 1,
    family: 'outside',
    about: 'The board could not execute an SMP command, or its response does not follow the protocol.',
    next: "Reset the board and repeat the command. If the error persists, the board's flash or memory may be too small or faulty.",
  },
  AIOT_SMP_NOT_FOUND: {
    exit: 4,
    family: 'user',
    about: 'The board has no such slot, image or statistics group.',
    next: "To see the board's images, run `aiot board image list`.",
  },
  AIOT_SMP_REJECTED: {
    exit: 2,
    family: 'user',
    about:
      'The board rejected the image or a value: it is invalid, for another slot, or older than the running image.',
    next: "Check the image with `aiot firmware inspect FILE`, and build it for this board's flash layout.",
  },
  AIOT_SMP_SILENT: {
    exit: 1,
    family: 'outside',
    about: 'The board sent no SMP response.',
    next: 'Check the port and the power supply. Make sure that the firmware runs an SMP server (Zephyr: CONFIG_MCUMGR) on this connection. Close other programs that use the port. ESP boards without Zephyr do not support SMP: restart them with `aiot board run`.',
  },
  AIOT_SMP_STATE: {
    exit: 1,
    family: 'user',
    about: 'The board cannot do this now: it is busy, or an image is pending or not yet confirmed.',
    next: 'Confirm the running image with `aiot board image confirm`, or return to the previous image by resetting the board with `aiot board reset`.',
  },
  AIOT_SMP_UNSUPPORTED: {
    exit: 1,
    family: 'outside',
    about: "The board's firmware does not contain this group of SMP commands.",
    next: 'Enable the group in its configuration (CONFIG_MCUMGR_GRP_IMG, _OS, _SHELL or _STAT), and build it again.',
  },
  AIOT_SOFTAP_INSECURE: {
    exit: 1,
    family: 'outside',
    about:
      "The board does not offer provisioning with ESP-IDF's security scheme 2. The other schemes send the Wi-Fi password in plain text, or protect it less.",
    next: 'Build the firmware with security scheme 2 (SRP6a), or send the settings over the serial port with --improv.',
  },
  AIOT_SOFTAP_MALFORMED: {
    exit: 1,
    family: 'outside',
    about:
      "No board with ESP-IDF's unified provisioning responds at this address, or the board did not prove that it knows the password.",
    next: "Check that this computer is in the board's Wi-Fi network, and check --board-url. If another device imitates the board, do not send it the Wi-Fi password.",
  },
  AIOT_SOFTAP_REFUSED: {
    exit: 5,
    family: 'user',
    about: "The user name or the password of the board's provisioning service is wrong.",
    next: 'Check the user name in --board-user and the password in the file that --board-password-file names. Both are printed on the board or its label, or set in its firmware.',
  },
  AIOT_SOFTAP_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about: "The board's own Wi-Fi network cannot be reached.",
    next: "Join the board's Wi-Fi network with this computer, and check --board-url.",
  },
  AIOT_SPOOL_BUSY: {
    exit: 1,
    family: 'user',
    about: 'Another process is using this spool (a folder of undelivered messages).',
    next: 'Stop the other aiot process, or use another spool folder (for a loop, another --name).',
  },
  AIOT_STREAM_DECODE: {
    exit: 1,
    family: 'outside',
    about:
      'A payload is not in the format selected for decoding, or a Kafka batch is damaged or cannot be decompressed.',
    next: 'Look at the payload with `aiot stream tail URL --format hex`, then choose a matching --decode. For a Kafka batch, check the producer and its compression.',
  },
  AIOT_STREAM_EVALUATION: {
    exit: 1,
    family: 'outside',
    about:
      'An expression cannot be evaluated on a message, for example because it compares a string with a number.',
    next: 'Look at the message with `aiot stream tail URL --format json`. The functions $number(x) and $exists(x) can help.',
  },
  AIOT_STREAM_EXPECTED: {
    exit: 6,
    family: 'outside',
    about: 'The stream ended without a message that matches --expect.',
    next: 'Look at the messages with `aiot stream tail URL`.',
  },
  AIOT_STREAM_EXPRESSION: {
    exit: 2,
    family: 'user',
    about: 'The expression, or one in a template, is not valid JSONata.',
    next: 'Write an expression such as --where \'temperature > 80 and $topic = "plant/1"\'. For the language, see https://docs.jsonata.org.',
  },
  AIOT_STREAM_MESSAGE_REFUSED: {
    exit: 1,
    family: 'outside',
    about:
      'The destination rejected a message: its size, topic, key, headers, line endings or type are not allowed.',
    next: 'Change the message as the error states, or set its key with --message-key. To change the settings of a Kafka topic (such as max.message.bytes), use `aiot stream create FILE`.',
  },
  AIOT_STREAM_NEVER: {
    exit: 6,
    family: 'outside',
    about: 'A message matched --never.',
    next: 'To find the sender, look at the topic and headers of the message shown.',
  },
  AIOT_STREAM_OVERFLOW: {
    exit: 1,
    family: 'outside',
    about:
      'Messages arrived faster than they could be processed, and this broker does not store them for slow readers. The stream stopped to avoid silent loss.',
    next: 'Read from a log (JetStream, Kafka) or at QoS 1, or allow messages to be dropped and counted.',
  },
  AIOT_STREAM_REFUSED: {
    exit: 1,
    family: 'outside',
    about:
      'The peer of a stream (HTTP, S3, TCP, Telegram) rejected a request or a message. If the rejection is temporary, the message is kept and retried.',
    next: "Correct the message according to the reply in the error. The route's onError setting handles permanently rejected messages.",
  },
  AIOT_STREAM_SCHEME: {
    exit: 2,
    family: 'user',
    about: "A stream URL's scheme is unknown, or does not support this operation.",
    next: 'For the schemes and what each supports, run `aiot docs stream-addresses`.',
  },
  AIOT_STREAM_SPEC_INVALID: {
    exit: 2,
    family: 'user',
    about:
      'A file for aiot stream create has a syntax error, an unknown field or an invalid value, or requests a feature that the broker lacks.',
    next: 'Correct the part that the message names. For an example for each broker, run `aiot docs brokers`.',
  },
  AIOT_STREAM_TOPIC_NOT_FOUND: {
    exit: 4,
    family: 'outside',
    about: 'The topic, stream or consumer does not exist, and the broker does not create it for consumers.',
    next: 'List the topics with `aiot stream list`, or create the topic with `aiot stream create`.',
  },
  AIOT_STREAM_UNFIT: {
    exit: 1,
    family: 'user',
    about:
      "A message does not fit the destination's format, such as a row with missing columns or text instead of a JSON object. Retrying does not help.",
    next: 'Convert the messages with --map, or set onError to skip or {dead-letter: URL}.',
  },
  AIOT_STREAM_UNREACHABLE: {
    exit: 1,
    family: 'outside',
    about:
      'The peer of a stream (HTTP, S3, TCP, Telegram) did not respond or closed the connection, or its TLS certificate is not signed by a trusted CA.',
    next: 'Check the address and that the service is running. To trust another CA, add --ca FILE.',
  },
  AIOT_STREAM_URL: {
    exit: 2,
    family: 'user',
    about:
      'A stream URL is invalid for its scheme, or refers to a resource that does not exist or cannot be used.',
    next: "Correct the part that the message names. For each scheme's URLs, run `aiot docs stream-addresses`.",
  },
  AIOT_TFLITE_INPUT: {
    exit: 2,
    family: 'user',
    about:
      "The values do not match the model's input: the length or type differs, or a value is not a number.",
    next: 'Compare the values with the input that `aiot model inspect FILE` shows.',
  },
  AIOT_TFLITE_MALFORMED: {
    exit: 2,
    family: 'user',
    about: 'A .tflite file is truncated, damaged or inconsistent.',
    next: 'Create the file again with `aiot model train` and `aiot model quantize`, or export or download it again.',
  },
  AIOT_TFLITE_UNSUPPORTED: {
    exit: 2,
    family: 'user',
    about:
      'A .tflite model uses an operator, a data type, an option or a number of inputs or outputs that aiot, LiteRT or TFLite Micro does not support.',
    next: "To see the file's operators and types, run `aiot model inspect FILE`. For the supported ones, run `aiot docs models`. The batch size must be 1.",
  },
  AIOT_TIMEOUT: {
    exit: 124,
    family: 'outside',
    about: 'The operation timed out.',
    next: 'Check the resource that the command waited for, or allow more time with --timeout.',
  },
  AIOT_TIMESTAMP_EXPIRED: {
    exit: 5,
    family: 'outside',
    about:
      'The newest timestamp delivered to a device has expired, so newer versions may be withheld from it.',
    next: 'Check the systems between the device and the platform, and the clocks of both.',
  },
  AIOT_TIMESTAMP_INVALID: {
    exit: 5,
    family: 'outside',
    about: 'A timestamp is missing, or is not signed by the keys that the root assigns to it.',
    next: 'To see the timestamp keys and whether the platform has a valid timestamp, run `aiot trust status`.',
  },
  AIOT_TIMESTAMP_ROLLBACK: {
    exit: 5,
    family: 'outside',
    about: 'A device received a timestamp older than one it had already seen.',
    next: 'Check the systems between the device and the platform. After restoring a backup, run `aiot trust rotate --role timestamp`.',
  },
  AIOT_TOKEN_INVALID: {
    exit: 5,
    family: 'user',
    about: 'The token, login link or device certificate is missing, invalid, expired or already used.',
    next: "Ask an operator for a new token (`aiot token create NAME --role ROLE`). On the platform's machine, you can also restart the platform: `aiot down`, then `aiot up --new-token`.",
  },
  AIOT_TRAINING_COMMAND: {
    exit: 1,
    family: 'outside',
    about:
      'The program in model.train.command failed, could not be started, or did not write its output files.',
    next: 'Run the program by hand. For its inputs and expected outputs, run `aiot docs project`.',
  },
  AIOT_TRAINING_DATA_UNFIT: {
    exit: 2,
    family: 'user',
    about:
      'The recordings cannot be used for training: there are none or too few to split, they have only one class, or they contain unknown labels or invalid numbers.',
    next: 'To see the recordings and their labels, run `aiot data list`. To find the problems, run `aiot data check`.',
  },
  AIOT_TRAINING_DIVERGED: {
    exit: 1,
    family: 'outside',
    about: 'Training diverged: the loss is not a number.',
    next: 'Lower model.train.learningRate in aiot.yaml, or look for extreme values with `aiot data check`.',
  },
  AIOT_TRAINING_ENDED: {
    exit: 1,
    family: 'outside',
    about:
      'The training process could not be started, or stopped early because it was killed or ran out of memory.',
    next: 'Check the free memory (`free -m`), or train on another machine and use the resulting file with --model FILE.',
  },
  AIOT_TRUST_CONFLICT: {
    exit: 1,
    family: 'user',
    about:
      "The change conflicts with the platform's trust root: its version is not newer, it is not signed by root keys, or the keys are already (or not yet) separated.",
    next: 'Use the signing key that was registered first. To see the newest root and its keys, run `aiot trust status`.',
  },
  AIOT_TRUST_KEY_UNKNOWN: {
    exit: 4,
    family: 'user',
    about:
      'The newest trust root does not have this key in the required role, or the key ID is too short or ambiguous.',
    next: "To see each role's keys and their IDs, run `aiot trust status`.",
  },
  AIOT_TRUST_MISSING: {
    exit: 4,
    family: 'user',
    about:
      'The platform or the board has no trust root yet, or none was given, so nothing can be signed or verified.',
    next: "On the platform's machine, as the user who signs, stop the platform with `aiot down` and start it with `aiot up --new-token`. This registers your signing key as the trust root.",
  },
  AIOT_TRUST_ROOT_BEHIND: {
    exit: 5,
    family: 'outside',
    about:
      'The platform announces a newer trust root than the device received. An attacker between them may be withholding it.',
    next: "Check the systems between the device and the platform. To see the newest root's version, run `aiot trust status`.",
  },
  AIOT_TRUST_ROOT_EXPIRED: {
    exit: 6,
    family: 'user',
    about:
      'The newest trust root has expired. Everything signed under it is rejected until a new root exists.',
    next: 'Create a new root with `aiot trust rotate --role root --root-key FILE`.',
  },
  AIOT_TRUST_SIGNATURES: {
    exit: 5,
    family: 'user',
    about:
      "A trust root has too few signatures: it needs signatures by both the previous root's keys and its own.",
    next: 'Add --root-key FILE for each offline root key until the threshold is met. To see the threshold, run `aiot trust status`.',
  },
  AIOT_TRUST_VERSION: {
    exit: 1,
    family: 'user',
    about:
      'A trust root was rejected: its version is not one higher than the newest, or the device is too many versions behind.',
    next: 'Repeat the command, which creates the next version from the newest root. To see the newest version, run `aiot trust status`.',
  },
  AIOT_UPDATE_DEVICE_TYPE: {
    exit: 5,
    family: 'user',
    about: 'A release is not intended for this type of device, or for its update client.',
    next: 'Push the release again, and include this type in --types. Update clients such as SWUpdate accept only firmware.',
  },
  AIOT_UPDATE_DOWNLOAD: {
    exit: 1,
    family: 'outside',
    about: 'A device could not download a manifest or a bundle.',
    next: 'Check the platform and the network, then start the rollout again.',
  },
  AIOT_UPDATE_EXPIRED: {
    exit: 5,
    family: 'user',
    about: 'A manifest has expired, so its release is no longer accepted.',
    next: 'Push or deploy the version again, which signs it with a new expiry.',
  },
  AIOT_UPDATE_FLOOR: {
    exit: 5,
    family: 'user',
    about:
      "A manifest's sequence number is below the minimum that the device has committed to, or below the minimum that the manifest itself sets.",
    next: 'Deploy the version again, for example with `aiot model deploy`, which signs it again with a higher sequence number.',
  },
  AIOT_UPDATE_HEARTBEAT: {
    exit: 1,
    family: 'outside',
    about: 'A device could not reach the broker during its trial and rolled back.',
    next: "Check the device's network, then start the rollout again.",
  },
  AIOT_UPDATE_INTERFACE: {
    exit: 5,
    family: 'user',
    about:
      "The device's firmware, or the aiot that reads the model, does not support this kind of update, this type of model, or this kind of output.",
    next: "Quantize the model to int8, deploy it to devices with newer firmware, or update the device's firmware or aiot first.",
  },
  AIOT_UPDATE_MISMATCH: {
    exit: 5,
    family: 'user',
    about:
      'A manifest is not the one that was expected or requested, or does not describe exactly one artifact.',
    next: 'Start the rollout again. If the error persists, push the release again.',
  },
  AIOT_UPDATE_SECURE_VERSION: {
    exit: 5,
    family: 'user',
    about:
      'Firmware has a lower secure version than the device accepts (anti-rollback), so the device rejects it.',
    next: 'Deploy firmware with a secure version that is at least as high. To set it in an image, run `aiot firmware image patch IMAGE --secure-version N`, then sign the image.',
  },
  AIOT_UPDATE_SEQUENCE: {
    exit: 5,
    family: 'user',
    about: "A manifest's sequence number is not higher than the one that the device has committed.",
    next: 'Deploy the version again, for example with `aiot model deploy`, which signs it again with a higher sequence number.',
  },
  AIOT_UPDATE_SIZE: {
    exit: 5,
    family: 'user',
    about: "A bundle is empty, larger than the device's slot, or differs in size from its manifest.",
    next: 'Make the bundle smaller, or push it again.',
  },
  AIOT_UPDATE_TRIAL: {
    exit: 1,
    family: 'outside',
    about:
      'A device restarted repeatedly while testing a new version, or the version failed its self-test, so the device rolled back.',
    next: "Check the device's log with `aiot device logs NAME`: the model may need more memory than the device has.",
  },
  AIOT_UPDATE_UNPUBLISHED: {
    exit: 5,
    family: 'user',
    about:
      'A release has a valid signature, but the platform never published it. Its signing key may be compromised.',
    next: 'Unless you know who signed it, run `aiot trust revoke --key ID`.',
  },
  AIOT_UPLOAD_OFFSET: {
    exit: 1,
    family: 'user',
    about: "An upload chunk does not start at the platform's current offset.",
    next: 'Get the current offset with HEAD and continue from there.',
  },
  AIOT_UPLOAD_VERSION: {
    exit: 1,
    family: 'user',
    about: 'A resumable upload uses a version of the tus protocol other than 1.0.0.',
    next: 'Use a tus 1.0.0 client, or send Tus-Resumable: 1.0.0.',
  },
  AIOT_USAGE: {
    exit: 2,
    family: 'user',
    about: 'A command, argument, flag or answer is unknown, missing, malformed or not possible here.',
    next: 'To see the arguments and flags, add --help.',
  },
  AIOT_VERSION_CONFLICT: {
    exit: 1,
    family: 'user',
    about:
      'The version or sequence number is not the next one, because another user pushed first. Or a DDI client tried to turn on auto-confirmation, which is always on.',
    next: 'Push again to get the next version.',
    subjects: {
      confirmation: 'No action is needed: auto-confirmation is always on.',
    },
  },
  AIOT_WEBHOOK_TARGET: {
    exit: 2,
    family: 'user',
    about:
      'A webhook target must be a public https URL: it must not resolve to a private network or to the platform itself.',
    next: 'Use a public https URL. For an internal target, run `aiot webhook add URL --allow-private`.',
  },
  AIOT_WIFI_NOT_FOUND: {
    exit: 1,
    family: 'outside',
    about: 'The board does not see a Wi-Fi network with this name.',
    next: 'Check the name and the distance to the access point. An ESP32 uses only the 2.4 GHz band. For a hidden network, check the password too.',
  },
  AIOT_WIFI_REFUSED: {
    exit: 1,
    family: 'outside',
    about: 'The board sees the Wi-Fi network, but could not join it or got no address.',
    next: 'Check the password, then repeat the command. If the password is correct, check whether the access point admits new devices.',
  },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;
