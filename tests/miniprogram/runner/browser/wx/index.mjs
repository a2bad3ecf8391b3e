// `wx` for the browser, by hand: as much of it as a chat needs, with the limits and the faults of real phones.
import { manners } from './api.mjs';
import { addCloud } from './cloud.mjs';
import { addLogin } from './login.mjs';
import { addNavigation } from './navigation.mjs';
import { addNetwork } from './network.mjs';
import { addPrivacy } from './privacy.mjs';
import { addRecorder } from './recorder.mjs';
import { addStorage } from './storage.mjs';
import { addSystem } from './system.mjs';
import { addDialogs } from './dialogs.mjs';

export function createWx({ phone, program, pages }) {
  const wx = {};
  const context = { phone, program, pages, wx, ...manners(phone, wx) };
  context.privacy = addPrivacy(context);
  for (const add of [addStorage, addNetwork, addCloud, addDialogs, addNavigation, addLogin, addSystem, addRecorder]) {
    add(context);
  }
  return wx;
}
