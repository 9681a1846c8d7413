'use strict';

// Backstage's answers, kept in JavaScript: whoever asks again what was asked before gets the
// same frozen object, and nothing crosses over to the addon but the number of the policies.

/** The most ownership references that are kept, for each answer that may be kept. */
const REFERENCES = 50;

/** Users with more ownership references are left to the addon, which refuses them. */
const OWNED = 10_000;

/** Names of permissions that are longer are not kept: anybody may ask for them. */
const NAME = 200;

/** The keys of a user whose answers are kept. */
const USER = new Set(['userEntityRef', 'ownershipEntityRefs']);

/** What one user was answered. A user is known by all references, in their order. */
class CachedUser {
  #named = new Map();

  constructor(user) {
    this.user = user;
  }

  matches({ ownershipEntityRefs: owned }) {
    const known = this.user.ownershipEntityRefs;
    if (owned === undefined) return known.length === 0;
    if (!Array.isArray(owned) || owned.length !== known.length) return false;
    for (let n = 0; n < known.length; n += 1) if (known[n] !== owned[n]) return false;
    return true;
  }

  answer(permission) {
    const alike = this.#named.get(permission?.name);
    if (!alike) return undefined;
    const { attributes, resourceType } = permission;
    if (attributes != null && typeof attributes !== 'object') return undefined;
    const action = attributes?.action;
    for (const asked of alike) {
      if (asked.action === action && asked.resourceType === resourceType) return asked.answer;
    }
    return undefined;
  }

  keep({ name, attributes: { action }, resourceType }, answer) {
    const asked = { action, resourceType, answer };
    const alike = this.#named.get(name);
    if (alike) alike.push(asked);
    else this.#named.set(name, [asked]);
  }

  forget() {
    this.#named.clear();
  }
}

/** The answers under one policy set. Once there are too many, all are forgotten. */
class Answers {
  #limit;
  #generation;
  #users = new Map();
  #answers = 0;
  #references = 0;

  constructor(limit) {
    this.#limit = limit;
  }

  /** How many there are. */
  get size() {
    return this.#answers;
  }

  /** Forgets what other policies answered. */
  renew(generation) {
    if (generation !== this.#generation) this.#clear();
    this.#generation = generation;
  }

  /** Returns what is known of a user; nothing if that is nobody whose answers can be kept. */
  of(user) {
    // Whoever has a key that is not known is left to the addon, which refuses it.
    if (typeof user === 'object') for (const key in user) if (!USER.has(key)) return undefined;
    const alike = this.#users.get(user?.userEntityRef);
    const known = alike?.find(each => each.matches(user));
    if (known) return known;
    const copy = userCopy(user);
    return copy && new CachedUser(copy);
  }

  /** Keeps an answer. */
  keep(known, permission, answer) {
    if (this.#limit === 0 || permission.name.length > NAME) return;
    const references = this.#has(known) ? 0 : known.user.ownershipEntityRefs.length;
    const tooMany = this.#references + references > this.#limit * REFERENCES;
    if (this.#answers >= this.#limit || tooMany) this.#clear();
    this.#add(known);
    known.keep(permission, answer);
    this.#answers += 1;
  }

  #has(known) {
    return this.#users.get(known.user.userEntityRef)?.includes(known) ?? false;
  }

  #add(known) {
    if (this.#has(known)) return;
    // It may have been forgotten with all others.
    known.forget();
    const { userEntityRef, ownershipEntityRefs } = known.user;
    this.#users.set(userEntityRef, [...(this.#users.get(userEntityRef) ?? []), known]);
    this.#references += ownershipEntityRefs.length;
  }

  #clear() {
    this.#users.clear();
    this.#answers = 0;
    this.#references = 0;
  }
}

/**
 * Returns a user as it is now, whatever becomes of the object; nothing if it is none, which the
 * addon then says.
 */
function userCopy(user) {
  const { userEntityRef, ownershipEntityRefs: owned = [] } = user ?? {};
  if (typeof userEntityRef !== 'string' || !Array.isArray(owned)) return undefined;
  const ownershipEntityRefs = [];
  const { length } = owned;
  if (length > OWNED) return undefined;
  for (let n = 0; n < length; n += 1) {
    const reference = owned[n];
    if (typeof reference !== 'string') return undefined;
    ownershipEntityRefs.push(reference);
  }
  return { userEntityRef, ownershipEntityRefs };
}

/** Returns a permission as it is now, or nothing if it is none. */
function permissionCopy(permission) {
  const { name, attributes, resourceType } = permission ?? {};
  if (attributes != null && typeof attributes !== 'object') return undefined;
  const action = attributes?.action;
  const isText = text => text === undefined || typeof text === 'string';
  if (typeof name !== 'string' || !isText(action) || !isText(resourceType)) return undefined;
  return { name, attributes: { action }, resourceType };
}

/** Asks the addon for the permissions at some places, once for those that are alike. */
function ask(batch, permissions, places, user) {
  const asked = [];
  const known = new Map();
  const numbers = places.map(place => {
    const permission = permissionCopy(permissions[place]);
    // What is no permission is told by the addon.
    if (!permission) return asked.push(permissions[place]) - 1;
    const key = JSON.stringify(permission);
    if (!known.has(key)) known.set(key, asked.push(permission) - 1);
    return known.get(key);
  });
  return { asked, numbers, answers: batch(asked, user) };
}

/** Has engines keep what they answer Backstage. */
function keepAnswers(Engine) {
  const { decideBackstageBatch, close } = Engine.prototype;
  const kept = new WeakMap();

  const answersOf = engine => {
    // Throws if the engine is closed, or is none.
    const { generation } = engine;
    let answers = kept.get(engine);
    if (!answers) kept.set(engine, (answers = new Answers(engine.cacheSize)));
    answers.renew(generation);
    return answers;
  };

  const decide = (engine, permissions, user) => {
    const answers = answersOf(engine);
    const known = answers.of(user);
    const [found, places] = [[], []];
    for (let place = 0; place < permissions.length; place += 1) {
      const answer = known?.answer(permissions[place]);
      found.push(answer);
      if (!answer) places.push(place);
    }
    if (!places.length) return found;
    const batch = decideBackstageBatch.bind(engine);
    const fresh = ask(batch, permissions, places, known?.user ?? user);
    if (known) {
      fresh.answers.forEach((answer, number) => {
        if (answer.mayKeep) answers.keep(known, fresh.asked[number], answer);
      });
    }
    places.forEach((place, n) => (found[place] = fresh.answers[fresh.numbers[n]]));
    return found;
  };

  Engine.prototype.decideBackstage = function decideBackstage(permission, user) {
    return answersOf(this).of(user)?.answer(permission) ?? decide(this, [permission], user)[0];
  };
  Engine.prototype.decideBackstageBatch = function keptBatch(permissions, user) {
    if (!Array.isArray(permissions)) return decideBackstageBatch.call(this, permissions, user);
    return decide(this, permissions, user);
  };
  Engine.prototype.close = function closeAll() {
    kept.delete(this);
    close.call(this);
  };
}

module.exports = { Answers, keepAnswers };
