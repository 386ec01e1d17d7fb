"""synthetic:shapes for the experiments: models of its scenes, its pictures as files, and questions about them."""
import json
import re

import asking

OBJECTS = ["circle", "square", "triangle", "star", "heart", "bicycle", "car", "house", "tree", "fish", "boat", "cup"]
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
NUMBERS = ["two", "three", "four", "five"]
RELATIONS = ["to the left of", "to the right of", "above", "below"]
QUESTIONS = ["seen", "held-out", "counting", "spatial", "negation"]  # of cuclip eval zero-shot


def text_config(width, layers=2):
    return {"context_length": 32, "vocab_size": 1024, "width": width, "heads": width // 32, "layers": layers}


def transformer(width, image_size=48, layers=3):
    """A vision transformer with patches of 8, and a text transformer of its width."""
    vision = {"image_size": image_size, "layers": layers, "width": width, "head_width": 32, "patch_size": 8}
    return {"embed_dim": width, "vision_cfg": vision, "text_cfg": text_config(width)}


def resnet(width, embed, image_size):
    """CLIP's modified ResNet with a block a stage."""
    vision = {"image_size": image_size, "layers": [1, 1, 1, 1], "width": width}
    return {"embed_dim": embed, "vision_cfg": vision, "text_cfg": text_config(embed)}


def spec(image_size, count, split="train", seed=1):
    return f"synthetic:shapes?size={image_size}&count={count}&split={split}&seed={seed}"


# The model that experiments share which ask what a trained model can do.
SIZE, BATCH = 48, 64


def base_settings(lab, epochs=8):
    """(settings of a training, its number of scenes)."""
    scenes = lab.choose(20_000, 128)
    return {"batch_size": BATCH, "epochs": lab.choose(epochs, 2), "lr": 1e-3, "precision": "bf16"}, scenes


def base_models(lab):
    """A trained model for each seed."""
    settings, scenes = base_settings(lab)
    return [lab.train(f"shapes-seed-{seed}", transformer(64), train_data=spec(SIZE, scenes), seed=seed, **settings)
            for seed in lab.seeds]


def answers(lab, model, pictures=1000, seed=7):
    """Accuracy on each of QUESTIONS, of so many pictures each; kept beside the weights, for when it is asked again."""
    count = lab.choose(pictures, 20)
    kept = model / f"answers-to-{count}-seed-{seed}.json"
    if not kept.exists():
        answer = lab.ask("eval", "zero-shot", "--data", "synthetic:shapes", "--count", count, "--seed", seed,
                         "--model", model)
        kept.write_text(json.dumps({question: answer[question]["accuracy"] for question in QUESTIONS}))
    return json.loads(kept.read_text())


def pictures(lab, count, split="val", seed=5):
    """(folder, scenes): a file for each scene, and what they are, as `scene` makes it of the captions."""
    what = spec(SIZE, count, split, seed)
    folder = lab.made(f"pictures/{split}-{count}-seed-{seed}", {"data": what},
                      lambda out: lab.call("experiments/write_pictures", what, out))
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    return folder, [scene(line["file"], line["captions"]) for line in lines]


def scene(file, captions):
    """What a scene is by its captions: a kind ("single", "count", "pair") and what belongs to it."""
    first = captions[0]
    result = {"file": file, "captions": captions}
    if found := re.fullmatch(rf"an? (\w+) (\w+) ({'|'.join(RELATIONS)}) an? (\w+) (\w+)", first):
        return {**result, "kind": "pair", "first": found.group(1, 2), "relation": found[3], "second": found.group(4, 5)}
    if found := re.fullmatch(r"(two|three|four|five) (\w+) (\w+?)s?", first):
        return {**result, "kind": "count", "number": found[1], "colour": found[2], "object": singular(found[3])}
    found = re.fullmatch(r"an? (\w+) (\w+)", first)
    size = re.search(r"of an? (small|large)?", captions[1])[1] or "plain"
    return {**result, "kind": "single", "colour": found[1], "object": found[2], "size": size}


def singular(noun):
    return noun if noun in OBJECTS else noun.rstrip("s")


def named(colour, thing):
    return asking.with_article(f"{colour} {thing}")
