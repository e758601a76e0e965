"""Generates commands for a home from a grammar: the training data of the models in this folder.

Each example has a sentence, its intent, a label for each word (slots for places, amounts and times), and the command that a device
would execute. All phrasings are the project's own. Training never uses the patterns marked as held out; the held-out sets consist of
them only.

    python models/home/data.py 10      # print ten examples of each set
"""

import random
import sys
from dataclasses import dataclass

ROOMS = {
    "kitchen": ["kitchen"], "bedroom": ["bedroom", "sleeping room"], "bathroom": ["bathroom", "bath"], "hall": ["hall", "hallway"],
    "living_room": ["living room", "lounge"], "office": ["office", "study"], "garage": ["garage"], "garden": ["garden", "yard"],
    "nursery": ["nursery", "kids room"], "cellar": ["cellar", "basement"], "attic": ["attic"], "dining_room": ["dining room"],
}
COLORS = ["red", "blue", "green", "yellow", "white", "orange", "purple", "pink"]
SCENES = ["movie", "party", "dinner", "sleep", "reading", "holiday", "morning", "work"]
MUSIC = ["jazz", "rock", "classical", "pop", "blues", "folk", "techno", "opera", "radio"]
ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]

OPENINGS = ["", "", "", "", "please", "could you", "can you", "would you", "hey", "ok", "i want you to", "could you please",
            "i would like you to", "you can", "now", "go and", "kindly", "will you", "hey can you", "you should"]
CLOSINGS = ["", "", "", "", "please", "now", "thanks", "thank you", "for me", "right now", "right away", "will you"]
HELD_OUT_OPENINGS = ["", "", "please", "could you please", "would you kindly", "hey please", "ok now", "i would like you to"]
HELD_OUT_CLOSINGS = ["", "", "", "please", "for me please", "right now please", "now thanks"]

# The patterns of each intent: for training, and held out. `{...}` are slots; a slot with `?` is optional. A question has no opening
# such as "could you".
PATTERNS = {
    "light.on": (
        ["turn on the {room} light", "turn the light on {in_room?}", "switch on the lights {in_room?}", "switch the {room} lights on",
         "put the lights on {in_room?}", "put on the light {in_room?}", "make it bright {in_room}", "light up the {room}",
         "the lights {in_room} should be on", "turn the {room} lamp on", "switch on the lamp {in_room?}", "i need some light {in_room}",
         "it is too dark {in_room}", "turn on the lights in the {room} {time}", "switch the light on {in_room?} {time}",
         "lights on {in_room?}", "give me light {in_room}", "get the {room} lights on"],
        ["switch on the {room} lights", "put the {room} light on", "turn the lamp on {in_room}", "i need light {in_room}",
         "get the light on {in_room}", "turn on the lamp {in_room} {time}", "it is so dark {in_room}"]),
    "light.off": (
        ["turn off the {room} light", "turn the light off {in_room?}", "switch off the lights {in_room?}", "switch the {room} lights off",
         "put the lights out {in_room?}", "put out the light {in_room?}", "make it dark {in_room}", "kill the lights {in_room?}",
         "the lights {in_room} should be off", "turn the {room} lamp off", "switch off the lamp {in_room?}", "no more light {in_room}",
         "it is too bright {in_room}", "turn off the lights in the {room} {time}", "switch the light off {in_room?} {time}",
         "lights off {in_room?}", "lights out {in_room?}", "get the {room} lights off"],
        ["switch off the {room} lights", "put the {room} light out", "turn the lamp off {in_room}", "no light {in_room}",
         "get the light off {in_room}", "turn off the lamp {in_room} {time}", "it is so bright {in_room}"]),
    "light.set": (
        ["set the {room} lights to {level}", "dim the light to {level} {in_room?}", "turn the {room} lights down to {level}",
         "turn the lights up to {level} {in_room?}", "put the {room} light at {level}", "make the {room} lights {level} bright",
         "bring the lights to {level} {in_room?}", "lower the lights {in_room} to {level}", "raise the {room} lamp to {level}",
         "set the lights in the {room} to {level} {time}", "dim the {room} lamp to {level} {time}", "lights at {level} {in_room?}",
         "i want the {room} lights at {level}", "turn the {room} lights down to {level} {time}", "change the brightness {in_room} to {level}"],
        ["dim the {room} lights to {level}", "turn the lamp down to {level} {in_room}", "bring the {room} light to {level} {time}",
         "set the lamp {in_room} at {level}", "raise the lights to {level} {in_room}", "i want the lights {in_room} at {level}"]),
    "light.color": (
        ["make the {room} lights {color}", "turn the light {color} {in_room?}", "set the {room} lamp to {color}", "change the lights to {color} {in_room?}",
         "i want {color} light {in_room}", "color the {room} {color}", "put on {color} lights {in_room?}", "switch the {room} light to {color}",
         "give me {color} light {in_room?}", "make it {color} {in_room}"],
        ["change the {room} light to {color}", "make the lamp {color} {in_room}", "i want the {room} lights {color}", "switch the lights to {color} {in_room}"]),
    "blind.open": (
        ["open the blinds {in_room?}", "open the {room} blinds", "raise the blinds {in_room?}", "pull up the {room} shutters", "let the sun in {in_room?}",
         "open the shutters {in_room?} {time}", "roll up the blinds {in_room?}", "draw the {room} curtains open", "open the curtains {in_room?}",
         "put the {room} blinds up", "blinds up {in_room?}", "get the shutters up {in_room}"],
        ["raise the {room} shutters", "open up the blinds {in_room}", "roll the {room} blinds up", "pull the curtains open {in_room}", "open the {room} curtains {time}"]),
    "blind.close": (
        ["close the blinds {in_room?}", "close the {room} blinds", "lower the blinds {in_room?}", "pull down the {room} shutters", "keep the sun out {in_room?}",
         "close the shutters {in_room?} {time}", "roll down the blinds {in_room?}", "draw the {room} curtains shut", "shut the curtains {in_room?}",
         "put the {room} blinds down", "blinds down {in_room?}", "get the shutters down {in_room}"],
        ["lower the {room} shutters", "shut the blinds {in_room}", "roll the {room} blinds down", "pull the curtains shut {in_room}", "close the {room} curtains {time}"]),
    "heat.set": (
        ["set the heating to {degrees} {in_room?}", "heat the {room} to {degrees}", "set the {room} temperature to {degrees}", "make it {degrees} {in_room}",
         "warm the {room} to {degrees} {time}", "turn the heating to {degrees} {in_room?}", "put the {room} heating at {degrees}", "i want {degrees} {in_room}",
         "set the thermostat to {degrees} {in_room?}", "change the temperature {in_room} to {degrees}", "keep the {room} at {degrees}",
         "set the {room} heating to {degrees} {time}"],
        ["warm up the {room} to {degrees}", "put the thermostat at {degrees} {in_room}", "turn the {room} temperature to {degrees}", "heat the {room} to {degrees} {time}",
         "change the heating to {degrees} {in_room}"]),
    "heat.up": (
        ["make it warmer {in_room?}", "turn up the heating {in_room?}", "turn the {room} heating up", "i am cold {in_room}", "it is too cold {in_room}",
         "raise the temperature {in_room?}", "more heat {in_room}", "warm up the {room}", "the {room} is too cold", "a bit warmer {in_room?}", "i am freezing {in_room}",
         "increase the {room} temperature"],
        ["turn up the {room} heating", "make the {room} warmer", "it is cold {in_room}", "raise the {room} temperature", "a little warmer {in_room}"]),
    "heat.down": (
        ["make it cooler {in_room?}", "turn down the heating {in_room?}", "turn the {room} heating down", "i am hot {in_room}", "it is too hot {in_room}",
         "lower the temperature {in_room?}", "less heat {in_room}", "cool down the {room}", "the {room} is too hot", "a bit cooler {in_room?}", "i am sweating {in_room}",
         "decrease the {room} temperature", "it is too warm {in_room}"],
        ["turn down the {room} heating", "make the {room} cooler", "it is hot {in_room}", "lower the {room} temperature", "a little cooler {in_room}"]),
    "fan.on": (
        ["turn on the fan {in_room?}", "turn the {room} fan on", "switch on the {room} fan", "switch the fan on {in_room?}", "start the fan {in_room?}", "start the {room} fan",
         "i need some air {in_room}", "put the fan on {in_room?}", "fan on {in_room?}", "let the fan run {in_room?}", "get the fan running {in_room}"],
        ["turn on the {room} fan", "put on the fan {in_room}", "let the {room} fan run", "i need air {in_room}"]),
    "fan.off": (
        ["turn off the fan {in_room?}", "turn the {room} fan off", "switch off the {room} fan", "switch the fan off {in_room?}", "stop the fan {in_room?}", "stop the {room} fan",
         "no more air {in_room}", "put the fan off {in_room?}", "fan off {in_room?}", "kill the fan {in_room?}"],
        ["turn off the {room} fan", "get the fan off {in_room}", "kill the {room} fan", "the fan {in_room} should be off"]),
    "lock.close": (
        ["lock the {room} door", "lock the door {in_room?}", "close and lock the {room} door", "lock up the {room}", "lock all the doors {time?}", "secure the {room} door",
         "make sure the {room} door is locked", "the {room} door should be locked", "bolt the door {in_room?}", "lock the {room} {time}"],
        ["secure the door {in_room}", "bolt the {room} door", "close and lock the door {in_room}", "lock the {room} door {time}"]),
    "lock.open": (
        ["unlock the {room} door", "unlock the door {in_room?}", "open the {room} door", "open the door {in_room?}", "let them in through the {room} door", "unlock the {room}",
         "the {room} door should be open", "unlock all the doors {time?}", "take the lock off the {room} door", "unbolt the door {in_room?}"],
        ["unlock and open the {room} door", "unbolt the {room} door", "the door {in_room} should be open", "unlock the {room} door {time}"]),
    "alarm.set": (
        ["set an alarm for {clock}", "wake me up at {clock}", "wake me at {clock}", "i need to get up at {clock}", "set the alarm to {clock}", "alarm at {clock}",
         "ring me at {clock}", "i have to be up at {clock}", "get me up at {clock}", "make an alarm for {clock}"],
        ["set my alarm for {clock}", "i have to get up at {clock}", "ring the alarm at {clock}", "i need to be up at {clock}"]),
    "alarm.off": (
        ["turn off the alarm", "stop the alarm", "switch the alarm off", "cancel the alarm", "no alarm", "delete my alarm", "i do not need the alarm", "stop ringing",
         "forget the alarm", "kill the alarm", "do not wake me", "alarm off"],
        ["cancel my alarm", "switch off the alarm", "turn my alarm off", "do not wake me up", "delete the alarm"]),
    "timer.set": (
        ["set a timer for {duration}", "start a timer for {duration}", "count down {duration}", "tell me when {duration} are over", "timer for {duration}",
         "remind me in {duration}", "give me {duration}", "start counting {duration}", "let me know in {duration}", "set the timer to {duration}"],
        ["start the timer for {duration}", "tell me in {duration}", "make a timer for {duration}", "let me know when {duration} are over"]),
    "timer.stop": (
        ["stop the timer", "cancel the timer", "turn off the timer", "switch the timer off", "no timer", "delete my timer", "i do not need the timer", "forget the timer",
         "stop counting", "kill the timer", "timer off"],
        ["cancel my timer", "switch off the timer", "turn the timer off", "delete the timer", "stop my timer"]),
    "music.play": (
        ["play {music} {in_room?}", "play some {music} {in_room?}", "put on {music} music {in_room?}", "i want to hear {music} {in_room?}", "start the {music} {in_room?}",
         "let me hear some {music}", "put some {music} on {in_room?}", "i feel like {music}", "turn on the {music} {in_room?}", "some {music} {in_room}",
         "play {music} music in the {room} {time}"],
        ["let me hear {music} {in_room}", "put on some {music} {in_room}", "i want some {music} {in_room}", "start playing {music} {in_room}"]),
    "music.stop": (
        ["stop the music {in_room?}", "turn off the music {in_room?}", "switch the music off {in_room?}", "no more music {in_room?}", "be quiet {in_room?}", "stop playing {in_room?}",
         "silence {in_room?}", "kill the music {in_room?}", "turn the {room} music off", "i do not want music", "music off {in_room?}"],
        ["switch off the music {in_room}", "turn off the {room} music", "stop the {room} music", "no music {in_room}"]),
    "music.next": (
        ["next song", "skip this song", "play the next song", "play another song", "i do not like this song", "skip this", "skip to the next one", "go to the next song",
         "next one", "another song", "change the song", "play something else"],
        ["skip to the next song", "play another one", "i do not like this one", "skip the song"]),
    "volume.set": (
        ["set the volume to {level} {in_room?}", "turn the volume to {level}", "volume at {level} {in_room?}", "put the {room} volume at {level}", "make the music {level} loud",
         "change the volume {in_room} to {level}", "bring the volume to {level} {in_room?}", "set the {room} speaker to {level}", "turn the music to {level} {in_room?}"],
        ["turn the {room} volume to {level}", "set the music to {level} {in_room}", "put the speaker at {level} {in_room}", "change the volume to {level}"]),
    "volume.up": (
        ["turn it up {in_room?}", "turn up the volume {in_room?}", "louder {in_room?}", "make it louder {in_room?}", "turn the music up {in_room?}", "i can not hear the music",
         "raise the volume {in_room?}", "a bit louder {in_room?}", "more volume {in_room?}", "the {room} music is too quiet", "increase the volume {in_room?}"],
        ["turn up the music {in_room}", "make the music louder {in_room}", "turn the volume up {in_room}", "a little louder {in_room}"]),
    "volume.down": (
        ["turn it down {in_room?}", "turn down the volume {in_room?}", "quieter {in_room?}", "make it quieter {in_room?}", "turn the music down {in_room?}", "the music is too loud",
         "lower the volume {in_room?}", "a bit quieter {in_room?}", "less volume {in_room?}", "the {room} music is too loud", "decrease the volume {in_room?}"],
        ["turn down the music {in_room}", "make the music quieter {in_room}", "turn the volume down {in_room}", "a little quieter {in_room}"]),
    "vacuum.start": (
        ["vacuum the {room}", "start the vacuum {in_room?}", "clean the {room}", "clean the floor {in_room?}", "send the vacuum to the {room}", "vacuum the floor {in_room} {time}",
         "the {room} is dirty", "let the robot clean the {room}", "start cleaning {in_room?}", "clean up the {room} {time}", "the floor {in_room} is dirty"],
        ["vacuum the floor {in_room}", "send the robot to the {room}", "start cleaning the {room}", "let the robot vacuum the {room}", "clean the {room} {time}"]),
    "vacuum.stop": (
        ["stop the vacuum {in_room?}", "stop cleaning {in_room?}", "turn off the vacuum", "send the vacuum home", "stop the robot {in_room?}", "the robot should stop",
         "no more cleaning {in_room?}", "switch the vacuum off", "cancel the cleaning {in_room?}", "kill the vacuum"],
        ["send the robot home", "the vacuum should stop", "switch off the vacuum", "stop the cleaning {in_room}"]),
    "coffee.make": (
        ["make coffee {time?}", "make me a coffee {time?}", "i want a coffee", "start the coffee machine {time?}", "brew some coffee {time?}", "i need coffee", "turn on the coffee machine {time?}",
         "a cup of coffee", "get the coffee ready {time}", "coffee {time}"],
        ["brew me a coffee {time}", "i need a cup of coffee", "make some coffee {time}", "switch on the coffee machine {time}"]),
    "oven.set": (
        ["set the oven to {hot}", "heat the oven to {hot}", "turn the oven on at {hot}", "preheat the oven to {hot} {time?}", "i need the oven at {hot}", "oven at {hot}",
         "put the oven at {hot}", "turn the oven to {hot}", "bring the oven to {hot} {time?}", "start the oven at {hot}"],
        ["preheat the oven at {hot}", "put the oven on at {hot}", "i want the oven at {hot}", "heat up the oven to {hot}"]),
    "scene.set": (
        ["start the {scene} scene", "{scene} mode", "switch to {scene} mode {in_room?}", "it is {scene} time", "set the {scene} scene {in_room?}", "make the {room} ready for {scene}",
         "change to the {scene} scene", "i want the {scene} scene {in_room?}", "turn on {scene} mode", "get the {room} ready for {scene}", "set the {room} to {scene} mode"],
        ["change to {scene} mode", "start {scene} mode {in_room}", "switch to the {scene} scene", "put the {room} in {scene} mode"]),
    "weather.ask": (
        ["what is the weather like {time?}", "how is the weather {time?}", "will it rain {time?}", "is it raining", "do i need an umbrella {time?}", "tell me the weather {time?}",
         "is it sunny outside", "is it cold outside", "what will the weather be {time}", "will it snow {time?}", "should i take a coat {time?}", "give me the weather"],
        ["how will the weather be {time}", "is it snowing outside", "do i need a coat {time}", "tell me if it will rain {time}", "what is the weather outside"]),
    "time.ask": (
        ["what time is it", "tell me the time", "how late is it", "what is the time", "do you know the time", "the time", "give me the time", "do you have the time",
         "is it late", "what hour is it"],
        ["what is the time now", "do you know what time it is", "can you give me the time", "do you know how late it is"]),
    "temperature.ask": (
        ["what is the temperature {in_room?}", "how warm is it {in_room?}", "how cold is it {in_room}", "tell me the temperature {in_room?}", "how hot is it {in_room?}",
         "what is the {room} temperature", "is it warm {in_room}", "how many degrees is it {in_room?}", "give me the {room} temperature", "what does the thermostat say {in_room?}"],
        ["how warm is the {room}", "tell me the {room} temperature", "how many degrees does the {room} have", "how cold is the {room}"]),
    "camera.show": (
        ["show me the {room}", "show the {room} camera", "who is in the {room}", "what is going on {in_room}", "turn on the {room} camera", "let me see the {room}",
         "is somebody {in_room}", "show me the camera {in_room}", "what do you see {in_room}", "look at the {room}"],
        ["show me the {room} camera", "let me see the {room} camera", "who is {in_room}", "is somebody in the {room}"]),
}
INTENTS = sorted(PATTERNS)
QUESTIONS = {"weather.ask", "time.ask", "temperature.ask", "camera.show"}
SLOTS = ["room", "level", "degrees", "color", "time", "duration", "music", "scene"]
LABELS = ["O"] + [f"{mark}-{slot}" for slot in SLOTS for mark in "BI"]


@dataclass
class Example:
    words: list
    labels: list
    intent: str
    command: str

    @property
    def text(self):
        return " ".join(self.words)


def spoken(number):
    """A number below 300 in words."""
    if number < 20:
        return ONES[number]
    if number >= 100:
        rest = number % 100
        hundred = ["one", "two"][number // 100 - 1] + " hundred"
        return hundred + (" " + spoken(rest) if rest else "")
    return TENS[number // 10] + (" " + ONES[number % 10] if number % 10 else "")


class Speaker:
    """Fills slots: each method returns the words of a slot, and its value in the command."""

    def __init__(self, dice):
        self.dice, self.pick = dice, dice.choice

    def number(self, number):
        return spoken(number) if self.dice.random() < 0.6 else str(number)

    def room(self):
        name = self.pick(list(ROOMS))
        return self.pick(ROOMS[name]), name

    def level(self):
        if self.dice.random() < 0.12:
            return self.pick([("half", "50%"), ("full", "100%"), ("a quarter", "25%"), ("the maximum", "100%"), ("the minimum", "1%")])
        percent = self.pick([5 * self.dice.randint(1, 20), self.dice.randint(1, 100)])
        return f"{self.number(percent)} percent", f"{percent}%"

    def degrees(self):
        degrees = self.dice.randint(12, 28)
        return f"{self.number(degrees)} degrees", f"{degrees}deg"

    def hot(self):
        degrees = 10 * self.dice.randint(8, 25)
        return f"{self.number(degrees)} degrees", f"{degrees}deg"

    def color(self):
        return (self.pick(COLORS),) * 2

    def scene(self):
        return (self.pick(SCENES),) * 2

    def music(self):
        return (self.pick(MUSIC),) * 2

    def duration(self):
        kind = self.dice.random()
        if kind < 0.15:
            return self.pick([("half an hour", "30m"), ("a quarter of an hour", "15m"), ("an hour", "1h"), ("one minute", "1m")])
        number = self.dice.randint(2, 90) if kind < 0.75 else self.dice.randint(2, 12)
        unit, short = ("minutes", "m") if kind < 0.75 else ("hours", "h") if kind < 0.9 else ("seconds", "s")
        return f"{self.number(number)} {unit}", f"{number}{short}"

    def clock(self):
        """A time of day. Without a word such as "evening", hours from seven on are in the morning."""
        hour, minute = self.dice.randint(1, 12), self.pick([0, 0, 0, 5, 10, 15, 15, 20, 25, 30, 30, 35, 40, 45, 45, 50, 55])
        after, before = hour, hour % 12 + 1
        named = {0: "{0}", 15: "quarter past {0}", 30: "half past {0}", 45: "quarter to {1}"}
        forms = []
        if minute in named:
            forms += [named[minute].format(self.number(after), self.number(before))] * 2
        if minute == 0:
            forms.append(f"{self.number(after)} o'clock")
        elif minute < 30:
            forms.append(f"{self.number(minute)} past {self.number(after)}")
        elif minute > 30:
            forms.append(f"{self.number(60 - minute)} to {self.number(before)}")
        if minute >= 10:
            forms.append(f"{spoken(after)} {spoken(minute)}")
            forms.append(f"{after} : {minute}")
        text = self.pick(forms)
        # The last spoken hour determines the half of the day.
        said = before if " to " in text else after
        half = self.pick([None, None] + ["morning"] * (said != 12) + ["evening"] * (5 <= said < 12))
        if half == "morning":
            text += self.pick([" in the morning", " am"])
        elif half == "evening":
            text += self.pick([" in the evening", " pm", " tonight"])
        late = half == "evening" or (half is None and said in (12, 1, 2, 3, 4, 5, 6))
        hour = (said % 12 + (12 if late else 0) - (1 if " to " in text else 0)) % 24
        return text, f"{hour:02}:{minute:02}"

    def time(self):
        if self.dice.random() < 0.3:
            return self.pick([("tomorrow", "tomorrow"), ("tonight", "tonight"), ("in the morning", "morning"), ("at noon", "12:00"), ("at midnight", "00:00")])
        text, value = self.clock()
        return "at " + text, value


def fill(pattern, intent, speaker, opening, closing):
    """Fills a pattern's slots, and returns the example."""
    words, labels, values = [], [], {}

    def say(text, slot=None):
        for index, word in enumerate(text.split()):
            words.append(word)
            labels.append("O" if slot is None else ("I-" if index else "B-") + slot)

    say(opening)
    for part in pattern.split():
        if not part.startswith("{"):
            say(part)
            continue
        name = part.strip("{}?")
        if part.endswith("?}") and speaker.dice.random() < 0.5:
            continue
        if name == "in_room":
            say(speaker.pick(["in the", "in the", "in my"]))
            name = "room"
        slot = {"clock": "time", "hot": "degrees"}.get(name, name)
        text, value = getattr(speaker, name)()
        lead = text.split()[0] if name == "time" and text.split()[0] == "at" else None
        if lead:
            say(lead)
            text = text[3:]
        say(text, slot)
        values[slot] = value
    say(closing)
    arguments = [values[slot] for slot in ["music", "scene", "room", "color", "level", "degrees", "duration", "time"] if slot in values]
    return Example(words, labels, intent, " ".join([intent, *arguments]))


def examples(count, seed, held_out=False):
    """`count` examples, which depend on the seed only."""
    dice = random.Random(seed)
    speaker = Speaker(dice)
    made = []
    for _ in range(count):
        intent = dice.choice(INTENTS)
        openings = HELD_OUT_OPENINGS if held_out else OPENINGS
        closings = HELD_OUT_CLOSINGS if held_out else CLOSINGS
        opening = dice.choice(["", "", "hey", "ok", "please"]) if intent in QUESTIONS else dice.choice(openings)
        closing = dice.choice(["", "", "please", "now"]) if intent in QUESTIONS else dice.choice(closings)
        made.append(fill(dice.choice(PATTERNS[intent][held_out]), intent, speaker, opening, closing))
    return made


def heldout(count, seed, trained):
    """`count` different examples of held-out patterns, none of which is in `trained`."""
    seen = {example.text for example in trained}
    kept = []
    for example in examples(2 * count, seed, held_out=True):
        if example.text not in seen:
            seen.add(example.text)
            kept.append(example)
    return kept[:count]


if __name__ == "__main__":
    for held_out in (False, True):
        for example in examples(int(sys.argv[1]) if len(sys.argv) > 1 else 10, seed=1, held_out=held_out):
            print(f"{example.text}\n    {example.command}\n    {' '.join(example.labels)}")
