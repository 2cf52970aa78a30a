/** The scenarios of `make chaos`: for each the test files that hold it, as globs from the root of the repository. */

export interface Scenario {
  readonly name: string;
  readonly what: string;
  readonly files: readonly string[];
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'transparent',
    what: 'what a client does directly works the same through the gate',
    files: ['test/e2e/transparent*.test.ts'],
  },
  {
    name: 'rekey',
    what: 'bulk data under renewed keys from every side',
    files: ['test/e2e/rekey*.test.ts'],
  },
  {
    name: 'kill',
    what: 'what anybody received is recorded when the gate is killed',
    files: ['test/e2e/kill*.test.ts'],
  },
  {
    name: 'recovery',
    what: 'trails that a crash left open, cut at every byte',
    files: ['test/recording/recovery*.test.ts', 'test/recording/writer-faults.test.ts'],
  },
  {
    name: 'tamper',
    what: 'recordings changed in every way',
    files: ['test/e2e/tamper*.test.ts', 'test/recording/tamper.test.ts'],
  },
  {
    name: 'events',
    what: 'every kind of event written and read back',
    files: ['test/e2e/events*.test.ts'],
  },
  {
    name: 'volume',
    what: 'a volume for recordings that is full, slow or failing',
    files: ['test/e2e/full-volume*.test.ts', 'test/e2e/slow-volume*.test.ts'],
  },
  {
    name: 'hostile',
    what: 'peers that send, stall and hold what they may not',
    files: ['test/e2e/hostile*.test.ts'],
  },
  {
    name: 'properties',
    what: 'decoders, filter, channels and container with any input',
    files: ['test/wire/*.test.ts', 'test/ssh/*.test.ts', 'test/recording/container*.test.ts'],
  },
  {
    name: 'login',
    what: 'who gets in, and what others learn',
    files: ['test/e2e/login*.test.ts', 'test/e2e/ask*.test.ts', 'test/e2e/policy*.test.ts'],
  },
  {
    name: 'clients',
    what: 'clients that others wrote',
    files: ['test/e2e/client*.test.ts'],
  },
  {
    name: 'control',
    what: 'apply, audit, terminate, the end of the gate',
    files: ['test/e2e/apply*.test.ts', 'test/e2e/terminate*.test.ts'],
  },
  {
    name: 'api',
    what: 'many who change the configuration or are closed over the API at once',
    files: ['test/api/*.test.ts'],
  },
];
