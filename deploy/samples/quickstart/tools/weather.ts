const SKIES = ['sunny', 'cloudy', 'rainy', 'windy']

type Place = { city: string }

/** The same weather for the same city, every time: this is a sample. */
export default {
  description: 'The weather of a city right now',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string', description: 'Name of the city' } },
    required: ['city'],
  },
  execute({ city }: Place) {
    const seed = [...city].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0)
    const sky = SKIES[seed % SKIES.length]
    const celsius = 8 + (seed % 20)
    return { city, summary: `${city} is ${sky} at ${celsius} °C`, rain: sky === 'rainy' }
  },
}
