print('a step')
