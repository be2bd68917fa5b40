/** One case of a suite. It gets a fresh subject and throws to fail. */
export interface SuiteCase<Subject> {
  readonly name: string;
  run(subject: Subject): void | Promise<void>;
}

/** A list of cases that every implementation of a contract must pass. */
export interface Suite<Subject> {
  readonly name: string;
  readonly cases: readonly SuiteCase<Subject>[];
}

/** Makes a subject for one case, and gives it back afterwards, also when the case failed. */
export interface SubjectSource<Subject> {
  make(): Subject | Promise<Subject>;
  release?(subject: Subject): void | Promise<void>;
}

/** Any runner's `test` function. */
export type RegisterTest = (name: string, fn: () => Promise<void>) => unknown;

/**
 * Registers every case of a suite with a test runner, as "suite: case".
 *
 * An error from `release` fails the case that passed; when both fail, the case's own error is the one reported.
 */
export function runSuite<Subject>(
  suite: Suite<Subject>,
  source: SubjectSource<Subject> | (() => Subject | Promise<Subject>),
  register: RegisterTest,
): void {
  const subjects: SubjectSource<Subject> = typeof source === "function" ? { make: source } : source;
  for (const suiteCase of suite.cases) {
    register(`${suite.name}: ${suiteCase.name}`, () => runCase(suiteCase, subjects));
  }
}

async function runCase<Subject>(suiteCase: SuiteCase<Subject>, subjects: SubjectSource<Subject>): Promise<void> {
  const subject = await subjects.make();
  try {
    await suiteCase.run(subject);
  } catch (error) {
    await releaseQuietly(subjects, subject);
    throw error;
  }
  await subjects.release?.(subject);
}

async function releaseQuietly<Subject>(subjects: SubjectSource<Subject>, subject: Subject): Promise<void> {
  try {
    await subjects.release?.(subject);
  } catch {
    // The case failed already, and its error says more than one from cleaning up after it.
  }
}
