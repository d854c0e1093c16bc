import { blockHeaderBytes, op, stubError } from './protocol.js';
import { securityInfo } from './security-info.js';
import { failed, type StubCommand, type StubRequest, type StubState } from './stub-state.js';

function sync(stub: StubState) {
  stub.host.dropInput();
  return {};
}

function readRegister({ host }: StubState, request: StubRequest) {
  return request.size === 4 ? { value: host.registers.read(request.word(0)) } : failed(stubError.length);
}

function writeRegisters({ host }: StubState, request: StubRequest) {
  const { size } = request;
  if (size === 0 || size % 16 !== 0) return failed(stubError.length);
  for (let at = 0; at < size / 4; at += 4) {
    host.registers.write(request.word(at), request.word(at + 1), request.word(at + 2));
  }
  return {};
}

function memoryBegin(stub: StubState, request: StubRequest) {
  stub.memoryLeft = request.word(0);
  return {};
}

/** Neither the checksum nor the number of a block is looked at, only how much comes. */
function memoryData(stub: StubState, { size }: StubRequest) {
  const bytes = size - blockHeaderBytes;
  if (bytes > stub.memoryLeft) return failed(stubError.tooMuch);
  stub.memoryLeft -= bytes;
  return {};
}

/** A stub uploaded into a running one, as espflash does: it starts over. */
function memoryEnd({ host, kind }: StubState, request: StubRequest) {
  return request.word(0) === 0 && request.word(1) !== 0 ? { after: () => host.startStub(kind) } : {};
}

function security({ host }: StubState) {
  if (host.identity.securityId === null) return failed(stubError.unsupported);
  return { data: securityInfo(host.identity, host.security) };
}

function runUserCode({ host, kind }: StubState) {
  return { silent: true, after: () => (kind === 'legacy' ? host.restart('software') : undefined) };
}

/** The stub's commands that leave the flash alone. */
export const memoryCommands: readonly [number, StubCommand][] = [
  [op.sync, sync],
  [op.readReg, readRegister],
  [op.writeReg, writeRegisters],
  [op.memBegin, memoryBegin],
  [op.memData, memoryData],
  [op.memEnd, memoryEnd],
  [op.changeBaud, ({ host }, request) => ({ after: () => host.changeBaud(request.word(0)) })],
  [op.securityInfo, security],
  [op.runUserCode, runUserCode],
];
