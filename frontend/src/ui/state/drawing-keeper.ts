/** The drawing keeper: saves the drawing on this device while it is made, and brings it back after a reload. */
import { effect, type ReadonlySignal } from "@preact/signals";
import type { SketchDocument } from "../../core/document";
import { restoreDocument, storeDocument } from "../../core/sketch-json";

const DATABASE = "llamasketch";
const STORE = "drawings";
/** Chosen: a few strokes may share a write, and a crash loses no more than that. */
const SAVE_AFTER_MS = 150;

/** Kept open, so that a save while the page is left needs no further answer before its write. */
let opened: IDBDatabase | null = null;

/** Bring back the drawing kept for `owner`; null when there is none, or this browser keeps nothing. */
export async function recallDrawing(owner: string): Promise<SketchDocument | null> {
  try {
    const store = await openStore("readonly");
    return restoreDocument(await settled(store.get(owner)));
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}

/** Save the drawing after every change; at once when the page is left. */
export function keepDrawing(owner: string, document_: ReadonlySignal<SketchDocument>): () => void {
  let timer: number | null = null;
  let saved = document_.peek();

  function save(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const current = document_.peek();
    if (current === saved) return;
    saved = current;
    void writeDrawing(owner, current);
  }

  const stop = effect(() => {
    if (document_.value === saved) return;
    timer ??= window.setTimeout(save, SAVE_AFTER_MS);
  });
  const saveIfHidden = (): void => {
    if (document.visibilityState === "hidden") save();
  };
  document.addEventListener("visibilitychange", saveIfHidden);
  window.addEventListener("pagehide", save);
  return () => {
    save();
    stop();
    document.removeEventListener("visibilitychange", saveIfHidden);
    window.removeEventListener("pagehide", save);
  };
}

async function writeDrawing(owner: string, document_: SketchDocument): Promise<void> {
  try {
    // No await where there is a database: the write must be on its way before the page is gone.
    const store = opened ? storeOf(opened, "readwrite") : await openStore("readwrite");
    await settled(store.put(storeDocument(document_), owner));
  } catch (error) {
    // Private windows and full disks keep nothing; drawing goes on.
    if (!(error instanceof DOMException)) throw error;
  }
}

async function openStore(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  return storeOf(opened ?? (await openDatabase()), mode);
}

async function openDatabase(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.addEventListener("upgradeneeded", () => request.result.createObjectStore(STORE));
  const database = await settled(request);
  const forget = (): void => {
    if (opened === database) opened = null;
  };
  database.addEventListener("close", forget);
  // Another tab with a newer studio may want to change the database.
  database.addEventListener("versionchange", () => {
    forget();
    database.close();
  });
  opened = database;
  return database;
}

function storeOf(database: IDBDatabase, mode: IDBTransactionMode): IDBObjectStore {
  return database.transaction(STORE, mode).objectStore(STORE);
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}
