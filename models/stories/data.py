"""Generates little stories from a grammar: the training data of the model in this folder.

Each story has a hero with a trait, a place, a thing that is wanted, lost or broken, a helper, and an end that follows from the events.
All sentences are the project's own.

    python models/stories/data.py 3      # print three stories
"""

import random
import sys

PEOPLE = [("Mia", "she", "her"), ("Tom", "he", "his"), ("Anna", "she", "her"), ("Ben", "he", "his"), ("Lucy", "she", "her"),
          ("Sam", "he", "his"), ("Ella", "she", "her"), ("Max", "he", "his"), ("Nora", "she", "her"), ("Leo", "he", "his")]
ANIMALS = ["cat", "dog", "bird", "fox", "bear", "mouse", "rabbit", "frog", "owl", "duck", "hedgehog", "squirrel"]
TRAITS = ["little", "small", "kind", "brave", "shy", "curious", "clever", "happy", "quiet", "young"]
PLACES = ["the park", "the garden", "the forest", "the beach", "the kitchen", "the school", "the river", "the farm",
          "the hill", "the old house"]
THINGS = ["ball", "kite", "boat", "hat", "book", "drum", "doll", "box", "lamp", "cup", "basket", "blanket"]
COLORS = ["red", "blue", "green", "yellow", "white", "black", "brown", "shiny"]
FOODS = ["apple", "cake", "carrot", "cookie", "pear", "soup", "bread", "berry"]
WEATHER = ["It was a sunny day.", "It was a cold day.", "The wind was strong.", "The sky was blue.", "It was raining.",
           "The snow was soft.", "The sun was warm."]
TIMES = ["One day", "One morning", "One evening", "After lunch", "One Sunday"]
HIDING = ["under a big tree", "behind a stone", "under the bed", "in the tall grass", "behind the door", "in a deep hole",
          "on top of the wall"]
MORALS = ["From that day on, {a} and {b} were best friends.", "{A} learned that it is good to ask for help.",
          "They played together until the sun went down.", "{A} was very happy and went home.",
          "{A} said thank you and gave {b} a big hug.", "And they shared everything from then on."]


def capital(text):
    return text[0].upper() + text[1:]


class Story:
    """The characters and things of one story, drawn once so that the text is consistent."""

    def __init__(self, dice):
        self.dice = dice
        self.pick = dice.choice
        self.hero, self.she, self.her = self.pick(PEOPLE)
        self.animal, self.other = dice.sample(ANIMALS, 2)
        self.trait, self.place, self.color = self.pick(TRAITS), self.pick(PLACES), self.pick(COLORS)
        self.thing, self.food = self.pick(THINGS), self.pick(FOODS)
        if dice.random() < 0.4:
            self.hero = "the " + self.animal
            self.she, self.her = "it", "its"
            self.opening = f"a {self.trait} {self.animal}"
        else:
            noun = "girl" if self.she == "she" else "boy"
            self.opening = f"a {self.trait} {noun} named {self.hero}"
        self.helper = self.pick([f"a {self.pick(TRAITS)} {self.other}", f"an old {self.other}", f"a big {self.other}"])
        self.friend = "the " + self.other

    def a(self, noun):
        return ("an " if noun[0] in "aeiou" else "a ") + noun

    def begin(self):
        live = self.pick(["lived near {place}", "liked to play in {place}", "went to {place} every day"])
        live = live.replace("play in the hill", "play on the hill").format(place=self.place)
        return f"{self.pick(['Once upon a time, there was', 'Once there was', 'There was once'])} {self.opening} who {live}."

    def end(self):
        return self.pick(MORALS).format(a=self.hero, A=capital(self.hero), b=self.friend)

    def lost(self):
        """Something is lost, and found with somebody's advice."""
        where, she, her, hero, thing = self.pick(HIDING), self.she, self.her, capital(self.hero), f"{self.color} {self.thing}"
        return [
            f"{hero} had {self.a(self.color)} {self.thing} and loved it very much.",
            f"{self.pick(TIMES)}, {self.hero} could not find {her} {self.thing}. {hero} was sad and began to cry.",
            f"Then {self.helper} came by. \"Why are you sad?\" asked {self.friend}.",
            f"\"I lost my {thing},\" said {self.hero}. \"I will help you,\" said {self.friend}.",
            f"They looked everywhere. At last they found the {self.thing} {where}.",
        ]

    def hungry(self):
        """Somebody is hungry, and somebody shares food."""
        hero = capital(self.hero)
        return [
            f"{self.pick(TIMES)}, {self.hero} had {self.a(self.food)} for lunch.",
            f"{self.pick(WEATHER)} {hero} sat down to eat {self.her} {self.food}.",
            f"Then {hero if self.she != 'it' else self.hero} saw {self.helper}. {capital(self.friend)} looked very hungry.",
            f"\"Do you want some of my {self.food}?\" asked {self.hero}. \"Yes, please,\" said {self.friend}.",
            f"So {self.hero} shared the {self.food} with {self.friend}. {capital(self.friend)} smiled.",
        ]

    def broken(self):
        """Something breaks, and is mended together."""
        hero, tool = capital(self.hero), self.pick(["some glue", "a piece of string", "a needle and thread", "a small hammer"])
        return [
            f"{self.pick(TIMES)}, {self.hero} played with {self.a(self.color)} {self.thing}.",
            f"But the {self.thing} fell down and broke. \"Oh no!\" said {self.hero}.",
            f"{capital(self.helper)} heard it and came to see. \"Do not worry,\" said {self.friend}. \"We can fix it.\"",
            f"{capital(self.friend)} had {tool}. They worked together, and soon the {self.thing} was as good as new.",
        ]

    def afraid(self):
        """A fear turns out to be unfounded."""
        hero = capital(self.hero)
        noise = self.pick(["a loud noise", "a strange sound", "a soft scratching", "a big splash"])
        return [
            f"{self.pick(TIMES)}, {self.hero} heard {noise} near {self.place}. {hero} was afraid.",
            f"\"Who is there?\" asked {self.hero}. Nobody answered.",
            f"{hero} took a deep breath and went to look. It was only {self.helper}!",
            f"{capital(self.friend)} had been looking for {self.a(self.food)}. They both laughed.",
        ]

    def gift(self):
        """Somebody gets a present."""
        hero = capital(self.hero)
        return [
            f"It was the birthday of {self.friend}. {hero} wanted to give {self.friend} something nice.",
            f"{hero} went to {self.place} and found {self.a(self.color)} {self.thing}.",
            f"{self.pick(WEATHER)} {hero} carried the {self.thing} all the way to {self.friend}.",
            f"\"This is for you,\" said {self.hero}. \"What a lovely {self.thing}!\" said {self.friend}.",
            f"They ate {self.a(self.food)} and sang a song.",
        ]

    def tell(self):
        plot = self.pick([self.lost, self.hungry, self.broken, self.afraid, self.gift])
        return " ".join([self.begin(), *plot(), self.end()]).replace("a apple", "an apple")


def stories(count, seed):
    """`count` stories, which depend on the seed only."""
    dice = random.Random(seed)
    return [Story(dice).tell() for _ in range(count)]


if __name__ == "__main__":
    for story in stories(int(sys.argv[1]) if len(sys.argv) > 1 else 5, seed=1):
        print(story + "\n")
