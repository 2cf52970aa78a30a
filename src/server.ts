/**
 * Builds every service of a gate once, in order, hands each what it needs, and stops them in reverse. Holding the
 * control socket is the lock on the folder, so it comes first and goes last.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { Api } from './api/start-api.ts';
import { Authenticator } from './access/authn.ts';
import { LiveConnections } from './access/live.ts';
import { Passwords } from './access/password.ts';
import { Penalties } from './access/penalties.ts';
import { renewSnapshot } from './access/renewal.ts';
import { Snapshot, SnapshotHolder } from './access/snapshot.ts';
import { AppError, reasonOf } from './base/errors.ts';
import { newUuid } from './base/ids.ts';
import { Secret } from './base/secret.ts';
import { VERSION } from './base/version.ts';
import { loadConfig, splitAddress, withoutKex } from './config/config.ts';
import { openControl } from './ops/control.ts';
import { controlMethods } from './control-methods.ts';
import type { ControlMethods } from './control-methods.ts';
import { LogLimit } from './ops/log-limit.ts';
import { openLog } from './ops/log.ts';
import { Metrics } from './ops/metrics.ts';
import { recoverFiles } from './recording/recover-files.ts';
import { FilesReader } from './recording/files-reader.ts';
import { Downloads } from './recording/downloads.ts';
import { Ledger } from './recording/ledger.ts';
import { recoverRows } from './recording/recover-rows.ts';
import { ledgersBefore } from './recording/recovery.ts';
import { loadPublicKeys, loadSigningKey } from './recording/seal.ts';
import { Storage } from './recording/storage.ts';
import { WriteGate } from './recording/write-gate.ts';
import { HYBRID } from './ssh/hybrid-exchange.ts';
import { Listener } from './ssh/listener.ts';
import { ReadBuffer } from './ssh/leg-socket.ts';
import { makeOffer } from './ssh/make-protocol.ts';
import { PacketPool } from './ssh/packet-pool.ts';
import { auditHead } from './store/audit.ts';
import { recentDestinations } from './store/connections.ts';
import { openDatabase } from './store/database.ts';
import { readInventory } from './store/inventory.ts';
import { FactWriter } from './store/trails.ts';
import { checkMasterKey } from './vault/credentials.ts';
import { createHostAuthority, loadHostAuthority } from './vault/host-ca.ts';
import { loadMasterKey } from './vault/keyring.ts';
import { loadTls, secureOptions } from './vault/tls.ts';
import { Secrets } from './vault/secrets.ts';
import { hasMlKem } from './wire/hybrid-kem.ts';
import { nativeCiphers, parseHostKey, selfTest } from './wire/ssh2.ts';
import type { ParsedKey } from './wire/ssh2.ts';

export interface RunningServer {
  /** `host:port` that users connect to. */
  readonly ssh: string;
  /** `host:port` of the API. */
  readonly https: string;
  /** Ends every connection with `reason`, seals their trails and gives the folder back. */
  stop(reason: string): Promise<void>;
}

/** Host keys by file below `keys/`, and the signature algorithms that each serves. */
const HOST_KEYS = [
  { file: 'ssh_host_ed25519_key', algorithms: ['ssh-ed25519'] },
  { file: 'ssh_host_rsa_key', algorithms: ['rsa-sha2-512', 'rsa-sha2-256'] },
] as const;

const PEER_LINES_PER_SECOND = 5;
const FLUSH_MS = 1000;
/** A ledger that cannot be written is tried again so often; nobody is let in meanwhile. */
const LEDGER_RETRY_MS = 2000;

/** So many facts may wait for the database before the reader of files is held back. */
const FILES_WAIT_AT = 5_000;

/** The certificate of https is looked at so often, and renewed when it is time. */
const CERTIFICATE_MS = 24 * 3_600_000;

const nowUs = (): number => performance.now() * 1000;
const wallUs = (): number => Math.floor((performance.timeOrigin + performance.now()) * 1000);
const nowMs = (): number => Date.now();

function loadHostKeys(keys: string): Record<string, ParsedKey> {
  const loaded: Record<string, ParsedKey> = {};
  for (const { file, algorithms } of HOST_KEYS) {
    let text: string;
    try {
      const path = join(keys, file);
      if ((statSync(path).mode & 0o077) !== 0) throw new Error('others may read it; chmod 600 it');
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') continue;
      throw new AppError('secret-unreadable', `${join(keys, file)}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    const key = parseHostKey(text);
    for (const algorithm of algorithms) loaded[algorithm] = key;
  }
  if (Object.keys(loaded).length === 0) {
    throw new AppError('dir-invalid', `${keys} holds no host key; was it made by "init"?`);
  }
  return loaded;
}

/** Starts the gate of a folder that `init` has made; rejects with what is wrong, leaving nothing running. */
export async function startServer(dir: string): Promise<RunningServer> {
  const undo: (() => Promise<void> | void)[] = [];
  const unwind = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await build(dir, undo, unwind);
  } catch (error) {
    await unwind();
    throw error;
  }
}

async function build(
  dir: string,
  undo: (() => Promise<void> | void)[],
  unwind: () => Promise<void>,
): Promise<RunningServer> {
  const mlkem = hasMlKem();
  const config = mlkem ? loadConfig(dir) : withoutKex(loadConfig(dir), HYBRID);
  const log = openLog(config.log.level);
  await selfTest();
  if (!nativeCiphers) {
    log.warn({ event: 'slow-ciphers' }, 'no native ciphers, throughput halves; run: make setup');
  }
  if (!mlkem) {
    log.warn({ event: 'no-ml-kem' }, `this Node has no ML-KEM: ${HYBRID} is not offered`);
  }
  const instance = newUuid(nowMs());
  const methods = Promise.withResolvers<ControlMethods>();
  // A start that fails rejects nobody: the control socket is closed before anybody could wait.
  methods.promise.catch(() => undefined);
  const later =
    (method: keyof ControlMethods) =>
    async (params: unknown): Promise<unknown> =>
      (await methods.promise)[method](params);
  const control = await openControl(dir, {
    ping: later('ping'),
    connections: later('connections'),
    terminate: later('terminate'),
    apply: later('apply'),
  });
  undo.push(() => control.close());

  const keys = join(dir, 'keys');
  const secrets = new Secrets(loadMasterKey(dir));
  const signingKey = await loadSigningKey(keys);
  const hostKeys = loadHostKeys(keys);
  // A folder from before there were jumps has none yet.
  const hostAuthority = loadHostAuthority(keys) ?? createHostAuthority(keys);
  const db = await openDatabase({
    path: join(dir, 'data', 'sallyport.db'),
    onProgress: (text) => log.info({ event: 'database' }, text),
  });
  undo.push(() => db.close());

  const storage = new Storage(join(dir, 'recordings'));
  await storage.prepareLedgers();
  const gate = new WriteGate();
  const before = await ledgersBefore(storage);
  let retry: NodeJS.Timeout | undefined;
  const ledger: Ledger = new Ledger({
    instance,
    storage,
    before,
    key: signingKey,
    gate,
    nowUs,
    wallUs,
    about: { version: VERSION, host: hostname() },
    onError: (error) => {
      log.error({ event: 'ledger-failed', reason: error.message }, 'the ledger cannot be written');
      retry = setTimeout(() => ledger.retry(), LEDGER_RETRY_MS);
    },
  });
  undo.push(async () => {
    clearTimeout(retry);
    await ledger.close('stopped').catch((error: unknown) => {
      log.error({ event: 'ledger-failed', reason: reasonOf(error) }, 'the ledger was not closed');
    });
  });
  const left: { connection: string; channel: number }[] = [];
  const crashed = await recoverRows({
    db,
    onChannel: (connection, channel) => left.push({ connection, channel }),
    storage,
    keys: await loadPublicKeys(keys),
    key: signingKey,
    ledger,
    wallUs,
    onTrouble: (text) => log.error({ event: 'recovery' }, text),
  });
  if (crashed > 0) {
    log.audit({ event: 'recovered', connections: crashed }, 'trails of a crash were recovered');
  }

  const inventory = await readInventory(db);
  checkMasterKey(
    secrets,
    inventory.targets.flatMap(({ accounts }) => accounts),
  );
  const snapshots = new SnapshotHolder(new Snapshot(inventory));
  const live = new LiveConnections();
  const metrics = new Metrics({ version: VERSION, liveSessions: () => live.size });
  metrics.start();
  undo.push(() => metrics.stop());
  const noteHead = async (): Promise<void> => {
    const head = await auditHead(db);
    ledger.auditHead(head.number, head.digest);
  };
  const renew = async (): Promise<void> => {
    await renewSnapshot({ db, snapshots, live, log, wallUs });
    await noteHead();
  };
  await noteHead();
  const facts = new FactWriter(db, {
    now: nowMs,
    onTrouble: (text) => log.error({ event: 'facts' }, text),
    onCommit: (commit) => {
      log.audit({ event: 'commit', commit, author: 'accept-new' }, 'a host key was pinned');
      renew().catch((error: unknown) => {
        log.error(
          { event: 'snapshot', reason: reasonOf(error) },
          'the configuration is not renewed',
        );
      });
    },
  });
  undo.push(async () => {
    await facts.close();
  });

  const files = new FilesReader({
    hasRoom: () => facts.pending < FILES_WAIT_AT,
    onTrouble: (text) => log.error({ event: 'files' }, text),
  });
  undo.push(() => files.close());
  recoverFiles(left, { files, storage, facts, wallUs });

  const passwords = await Passwords.create(config.passwords);
  const peerLog = new LogLimit({ log, perSecond: PEER_LINES_PER_SECOND, nowUs });
  const flush = setInterval(() => peerLog.flush(), FLUSH_MS);
  undo.push(() => {
    clearInterval(flush);
    peerLog.flush();
  });
  const authenticator = new Authenticator({
    snapshots,
    passwords,
    delayKey: new Secret(randomBytes(32)),
    nowUs,
    wallUs,
  });
  const penalties = new Penalties({
    penalties: config.penalties,
    startups: config.startups,
    nowUs,
    random: () => randomInt(2 ** 32) / 2 ** 32,
  });
  const listener = new Listener({
    config,
    log,
    metrics,
    peerLog,
    snapshots,
    authenticator,
    penalties,
    live,
    facts,
    recent: (user) => recentDestinations(db, user),
    secrets,
    recording: { instance, storage, ledger, key: signingKey, gate, files, nowUs, wallUs },
    pool: new PacketPool(),
    readBuffer: new ReadBuffer(),
    innerBuffer: new ReadBuffer(),
    offer: makeOffer('downstream', {
      kex: config.algorithms.kex,
      hostKey: config.algorithms.host_key.filter((name) => name in hostKeys),
      cipher: config.algorithms.cipher,
      mac: config.algorithms.mac,
    }),
    hostKeys,
    hostAuthority,
  });
  const address = splitAddress(config.listen.ssh);
  if (!address) throw new AppError('config-invalid', `listen.ssh: ${config.listen.ssh}`);
  const ssh = await listener.listen(address.host, address.port);
  let reason = 'the gate is shutting down';
  undo.push(async () => {
    await listener.close(new AppError('terminated', reason));
  });
  const downloads = new Downloads();
  undo.push(() => downloads.close());
  const api = new Api({
    db,
    snapshots,
    authenticator,
    passwords,
    penalties,
    secrets,
    live,
    log,
    metrics,
    storage,
    downloads,
    facts,
    ledger,
    renew,
    now: nowMs,
    nowUs,
  });
  const webAddress = splitAddress(config.listen.https);
  if (!webAddress) throw new AppError('config-invalid', `listen.https: ${config.listen.https}`);
  const tls = await loadTls(dir, config, hostname(), nowMs());
  if (tls.warning !== undefined) log.warn({ event: 'certificate' }, tls.warning);
  const web = await api.listen(secureOptions(tls), webAddress);
  undo.push(() => web.close());
  // A gate may run for longer than a certificate is good for.
  const renewal = setInterval(() => {
    loadTls(dir, config, hostname(), nowMs())
      .then((newest) => {
        if (newest.warning !== undefined) log.warn({ event: 'certificate' }, newest.warning);
        web.useCertificate(secureOptions(newest));
      })
      .catch((error: unknown) => {
        log.error({ event: 'certificate', reason: reasonOf(error) }, 'the certificate stays');
      });
  }, CERTIFICATE_MS);
  undo.push(() => clearInterval(renewal));
  methods.resolve(
    controlMethods({ instance, db, live, facts, log, passwords, secrets, renew, now: nowMs }),
  );
  const https = web.address;
  log.info({ event: 'listening', ssh, https, instance, version: VERSION }, 'listening');
  return {
    ssh,
    https,
    stop: async (why) => {
      reason = why;
      await unwind();
      log.info({ event: 'stopped', reason: why }, 'stopped');
    },
  };
}
