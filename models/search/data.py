"""Generates questions about household machines from a grammar: the training data of the sentence encoder in this folder.

A question is about a thing (`THINGS`) and a matter (`MATTERS`); two questions have one meaning if both are equal. All phrasings are
the project's own. Training never uses the second list of each matter; the held-out questions consist of it only.

    python models/search/data.py 10    # print ten pairs of questions with one meaning, and ten held-out questions
"""

import random
import sys

# The names of each thing, and its matters among the hundred phrases.
THINGS = {
    "dishwasher": (["dishwasher", "dish washer", "machine for the dishes"], "leak dead clean smell salt"),
    "washer": (["washing machine", "washer", "laundry machine"], "leak noise door filter detergent"),
    "dryer": (["tumble dryer", "dryer", "clothes dryer"], "hot filter noise dead shrink"),
    "fridge": (["fridge", "refrigerator", "icebox"], "warm smell ice light noise"),
    "freezer": (["freezer", "deep freezer", "freezing chest"], "ice alarm door power warm"),
    "oven": (["oven", "baking oven", "roasting oven"], "clean clock smoke hot dead"),
    "hob": (["hob", "cooktop", "hot plates"], "scratch lock light hot code"),
    "kettle": (["kettle", "water boiler", "tea kettle"], "lime leak off taste warranty"),
    "coffee": (["coffee machine", "espresso machine", "coffee maker"], "lime leak taste clean noise"),
    "microwave": (["microwave", "microwave oven", "micro wave"], "clock dead lock smell sparks"),
    "vacuum": (["vacuum cleaner", "hoover", "vacuum"], "weak filter noise battery smell"),
    "mower": (["robot mower", "lawn robot", "robotic mower"], "battery border blade rain stuck"),
    "heating": (["heating", "heater", "radiators"], "cold noise clock power leak"),
    "aircon": (["air conditioner", "air con", "cooling unit"], "leak filter weak power remote"),
    "alarm": (["smoke alarm", "smoke detector", "fire alarm"], "battery test beep install code"),
    "bell": (["doorbell", "door bell", "bell at the door"], "dead volume battery wifi install"),
    "router": (["router", "wifi box", "internet box"], "reset password light slow install"),
    "printer": (["printer", "laser printer", "printing machine"], "ink paper wifi blurred code"),
    "tv": (["television", "tv", "telly"], "remote picture volume wifi mount"),
    "phone": (["phone", "telephone", "mobile"], "battery reset cracked volume update"),
}

# Phrasings of each matter, for training and held out; `{it}` is the thing.
MATTERS = {
    "leak": (["the {it} leaks", "water drips from the {it}", "there is a puddle under the {it}", "water runs out of the {it}",
              "why is it wet under the {it}", "the {it} is losing water", "i found water below the {it}"],
             ["there is water under the {it}", "why does the {it} leak", "the {it} drips on the floor"]),
    "dead": (["the {it} does not start", "nothing happens when i switch on the {it}", "the {it} is dead", "my {it} will not turn on",
              "i cannot get the {it} to run", "the {it} has stopped working", "the {it} shows no sign of life"],
             ["the {it} will not start", "nothing happens when i press the button of the {it}", "my {it} does not work"]),
    "clean": (["how do i clean the {it}", "the {it} is dirty", "what do i wash the {it} with", "how often should the {it} be cleaned",
               "get rid of grease in the {it}", "the best way to clean the {it}"],
              ["cleaning the {it}", "how should i wash the {it}", "my {it} has become dirty"]),
    "smell": (["the {it} smells bad", "there is a bad smell from the {it}", "the {it} stinks", "why does the {it} smell",
               "how do i get rid of the smell of the {it}", "an odour comes out of the {it}"],
              ["the {it} has a bad smell", "a stink comes from the {it}", "my {it} smells"]),
    "noise": (["the {it} is too loud", "the {it} makes a strange noise", "why does the {it} hum", "the {it} rattles",
               "there is a knocking sound in the {it}", "the {it} squeaks when it runs"],
              ["a loud noise comes from the {it}", "why is the {it} so loud", "the {it} makes knocking sounds"]),
    "salt": (["how much salt does the {it} need", "where does the salt go in the {it}", "fill salt into the {it}", "the {it} asks for salt"],
             ["put salt into the {it}", "does the {it} need salt"]),
    "door": (["the door of the {it} does not open", "i cannot open the {it}", "the {it} is jammed shut", "the door of the {it} is stuck",
              "the lid of the {it} will not close", "the {it} does not shut"],
             ["the {it} will not open", "the door of the {it} will not shut"]),
    "filter": (["how do i change the filter of the {it}", "where is the filter of the {it}", "the filter of the {it} is blocked",
                "a new filter for the {it}", "the {it} says that its filter is full"],
               ["replace the filter of the {it}", "the {it} needs a new filter"]),
    "detergent": (["which detergent is right for the {it}", "how much washing powder goes into the {it}", "the {it} leaves soap in the clothes",
                   "where do i put the softener in the {it}"], ["how much detergent does the {it} need", "where does the washing powder go in the {it}"]),
    "hot": (["the {it} gets too hot", "why is the {it} so hot outside", "the {it} overheats", "i burned myself on the {it}"],
            ["my {it} becomes too hot", "the {it} is hot outside"]),
    "shrink": (["the {it} makes my clothes smaller", "does wool go into the {it}", "my sweater has shrunk in the {it}", "clothes shrink in the {it}"],
               ["my wool clothes have shrunk in the {it}", "the {it} makes a sweater smaller"]),
    "warm": (["the {it} is not cold enough", "food goes bad in the {it}", "the {it} does not cool", "the {it} is too warm inside"],
             ["it is too warm in the {it}", "the {it} does not get cold"]),
    "ice": (["there is ice in the {it}", "how do i defrost the {it}", "the walls of the {it} are frozen", "a thick layer of ice grows in the {it}"],
            ["the {it} is full of ice", "defrost the {it}"]),
    "light": (["what does the red light on the {it} mean", "the {it} blinks red", "a lamp on the {it} flashes", "the light of the {it} is broken",
               "how do i change the bulb of the {it}"], ["a red light flashes on the {it}", "the {it} has a red lamp on"]),
    "alarm": (["the {it} sounds an alarm", "how do i stop the alarm of the {it}", "the {it} gives a warning tone", "the warning of the {it} does not stop"],
              ["why does the {it} sound its alarm", "stop the warning tone of the {it}"]),
    "power": (["how much power does the {it} use", "what does the {it} cost to run", "the {it} needs a lot of electricity",
               "save energy with the {it}", "how high is the consumption of the {it}"],
              ["how much electricity does the {it} need", "what is the power consumption of the {it}"]),
    "clock": (["set the clock of the {it}", "the {it} shows the wrong time", "how do i set a timer on the {it}", "the {it} starts at the wrong hour",
               "summer time on the {it}"], ["the clock of the {it} is wrong", "change the time on the {it}"]),
    "smoke": (["smoke comes out of the {it}", "the {it} smokes", "why does the {it} fill the kitchen with smoke", "the {it} burns everything"],
              ["there is smoke in the {it}", "why does the {it} smoke"]),
    "scratch": (["the {it} has a scratch", "how do i polish scratches out of the {it}", "the glass of the {it} is scratched"],
                ["there are scratches on the {it}", "remove a scratch from the {it}"]),
    "lock": (["how do i lock the {it} for children", "the child lock of the {it} is on", "the keys of the {it} are locked", "unlock the {it}"],
             ["switch off the child lock of the {it}", "the {it} is locked"]),
    "code": (["the {it} shows an error code", "what does error two on the {it} mean", "an error message is on the {it}", "the {it} reports a fault"],
             ["what does the error code of the {it} mean", "there is a fault message on the {it}"]),
    "lime": (["how do i descale the {it}", "there is limescale in the {it}", "white flakes are in the {it}", "the {it} is full of lime"],
             ["remove the lime from the {it}", "descaling the {it}"]),
    "off": (["the {it} does not switch off", "the {it} keeps running", "how do i stop the {it}", "the {it} will not turn itself off"],
            ["the {it} never switches off", "the {it} does not stop"]),
    "taste": (["the water from the {it} tastes bad", "it tastes bitter from the {it}", "what comes from the {it} has a strange taste", "the {it} gives a sour taste"],
              ["everything from the {it} tastes strange", "the {it} gives a bad taste"]),
    "warranty": (["is the {it} still under warranty", "where is the receipt of the {it}", "how long is the guarantee for the {it}", "i want to return the {it}"],
                 ["does the warranty cover the {it}", "the guarantee of the {it}"]),
    "sparks": (["there are sparks in the {it}", "the {it} sparks", "it flashes and cracks inside the {it}", "metal was in the {it}"],
               ["i see sparks in the {it}", "sparks fly inside the {it}"]),
    "weak": (["the {it} is too weak", "the {it} has lost its power", "hardly any air comes through the {it}", "the {it} does not blow as it should"],
             ["the {it} has become weak", "why is there hardly any air from the {it}"]),
    "battery": (["the battery of the {it} is empty", "how do i change the battery of the {it}", "the {it} does not charge", "the {it} runs for ten minutes only",
                 "which battery does the {it} need"], ["a new battery for the {it}", "the {it} will not charge", "replace the battery of the {it}"]),
    "border": (["the {it} leaves the garden", "where do i lay the wire for the {it}", "the {it} does not see its border", "keep the {it} out of the flowers"],
               ["the {it} drives into the flowers", "the border wire of the {it}"]),
    "blade": (["the {it} does not cut well", "how do i sharpen the blades of the {it}", "the knives of the {it} are blunt", "new blades for the {it}"],
              ["change the knives of the {it}", "the blades of the {it} are blunt"]),
    "rain": (["may the {it} stay out in the rain", "the {it} got wet", "is the {it} safe from water", "does the {it} work in wet weather"],
             ["can the {it} work in the rain", "it rains on the {it}"]),
    "stuck": (["the {it} is stuck", "the {it} does not find home", "the {it} stops on a slope", "the wheels of the {it} turn in one place"],
              ["the {it} got stuck on a slope", "the {it} does not come home"]),
    "cold": (["the {it} stays cold", "it does not get warm with the {it}", "let the air out of the {it}", "the room is cold and the {it} is on"],
             ["why does the {it} stay cold", "the {it} does not get warm"]),
    "remote": (["the remote control of the {it} is lost", "the {it} does not react to the remote", "pair a new remote with the {it}", "use the {it} without a remote control"],
               ["i lost the remote of the {it}", "the remote control does not work with the {it}"]),
    "test": (["how do i test the {it}", "does the {it} still work", "how often must the {it} be tested", "try out whether the {it} is loud enough"],
             ["test the {it}", "when should i test the {it}"]),
    "beep": (["the {it} beeps every minute", "why does the {it} chirp at night", "the {it} keeps beeping", "make the {it} stop beeping"],
             ["the {it} beeps all night", "the beeping of the {it} does not stop"]),
    "install": (["how is the {it} installed", "set up the new {it}", "where should the {it} be put", "connect the {it} for the first time"],
                ["install a new {it}", "where do i put the {it}"]),
    "volume": (["the {it} is too quiet", "turn up the volume of the {it}", "i cannot hear the {it}", "change the sound of the {it}"],
               ["the volume of the {it} is too low", "i hardly hear the {it}"]),
    "wifi": (["the {it} does not find the network", "connect the {it} to the wifi", "the {it} is offline", "the {it} loses its connection"],
             ["the {it} has no connection to the wifi", "bring the {it} online"]),
    "reset": (["how do i reset the {it}", "put the {it} back to factory settings", "restart the {it}", "the {it} hangs"],
              ["restore the factory settings of the {it}", "a restart of the {it}"]),
    "password": (["i forgot the password of the {it}", "where is the key of the {it} written", "change the password of the {it}", "what is the login of the {it}"],
                 ["the {it} asks for a password", "a new password for the {it}"]),
    "slow": (["the {it} is too slow", "why does the {it} take so long", "make the {it} faster", "the speed of the {it} is low"],
             ["the {it} has become slow", "why is the {it} not faster"]),
    "ink": (["the {it} is out of ink", "how do i change the cartridge of the {it}", "the toner of the {it} is empty", "which ink fits the {it}"],
            ["the {it} needs new ink", "a new cartridge for the {it}"]),
    "paper": (["there is a paper jam in the {it}", "the {it} does not pull in paper", "paper is stuck in the {it}", "the {it} says that the tray is empty"],
              ["the paper jams in the {it}", "a sheet of paper is stuck in the {it}"]),
    "blurred": (["the pages of the {it} are blurred", "the {it} prints stripes", "the colors of the {it} are wrong", "lines are missing on pages from the {it}"],
                ["why does the {it} print blurred pages", "there are stripes on pages from the {it}"]),
    "picture": (["the {it} has no picture", "the screen of the {it} stays black", "the picture of the {it} flickers", "there is sound but no image on the {it}"],
                ["why is the screen of the {it} black", "the image of the {it} flickers"]),
    "mount": (["how do i hang the {it} on the wall", "which wall mount fits the {it}", "how heavy is the {it}", "drill holes for the {it}"],
              ["put the {it} up on the wall", "a wall mount for the {it}"]),
    "cracked": (["the glass of the {it} is cracked", "i dropped the {it}", "the display of the {it} is broken", "repair the screen of the {it}"],
                ["the {it} fell down and its display cracked", "my {it} has a broken screen"]),
    "update": (["how do i update the {it}", "which version is on the {it}", "the {it} asks for an update", "new software for the {it}"],
               ["update the software of the {it}", "the {it} wants to be updated"]),
}

OPENINGS = ["", "", "", "", "hello", "please help", "i think", "excuse me", "help", "good morning", "we have a problem"]
CLOSINGS = ["", "", "", "", "", "what can i do", "thanks", "again", "since yesterday", "please help", "is that normal"]
HELD_OUT_OPENINGS = ["", "", "", "hello", "please help"]
HELD_OUT_CLOSINGS = ["", "", "", "thanks", "what can i do"]

# The meanings of the hundred phrases: each thing with its matters.
MEANINGS = [(thing, matter) for thing, (_, matters) in THINGS.items() for matter in matters.split()]


def phrases():
    """The hundred phrases to search: the first phrasing of each matter, with the first name of the thing."""
    return [MATTERS[matter][0][0].format(it=THINGS[thing][0][0]) for thing, matter in MEANINGS]


def question(meaning, dice, held_out=False):
    """A random question with a meaning."""
    thing, matter = meaning
    opening = dice.choice(HELD_OUT_OPENINGS if held_out else OPENINGS)
    closing = dice.choice(HELD_OUT_CLOSINGS if held_out else CLOSINGS)
    said = dice.choice(MATTERS[matter][held_out]).format(it=dice.choice(THINGS[thing][0]))
    return " ".join(part for part in (opening, said, closing) if part)


def other_meanings(dice, count):
    """Random combinations of things and matters, sensible or not, so that the encoder learns to separate the two."""
    things, matters = list(THINGS), list(MATTERS)
    return [(dice.choice(things), dice.choice(matters)) for _ in range(count)]


def heldout(count, seed):
    """Different questions in held-out phrasings, each with the index of its phrase."""
    dice, kept = random.Random(seed), {}
    while len(kept) < count:
        at = dice.randrange(len(MEANINGS))
        kept.setdefault(question(MEANINGS[at], dice, held_out=True), at)
    return list(kept.items())


if __name__ == "__main__":
    dice = random.Random(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for meaning in dice.sample(MEANINGS, count):
        print(f"{question(meaning, dice)}\n    {question(meaning, dice)}")
    for text, at in heldout(count, 1):
        print(f"{text}\n    {phrases()[at]}")
